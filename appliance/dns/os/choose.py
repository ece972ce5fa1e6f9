"""How this host looks names up."""

from pathlib import Path

from appliance.dns.os.driver import HostResolver
from appliance.dns.os.resolvconf import PATH, ResolvConf
from appliance.dns.os.resolved import RUN, Resolved, read_upstreams, resolv_conf_leads_to_it
from appliance.protocol.addresses import AddrPort


async def choose_host_resolvers(
    interface: str, record: Path, resolv_conf: Path = PATH, resolved_run: Path = RUN
) -> tuple[HostResolver, ...]:
    """Return everything that must be pointed at us, the first one knowing the host's own servers.

    Resolved alone where resolv.conf leads to it; both where resolved runs beside a resolv.conf of
    somebody else's, because programs may ask either.
    """
    resolved = await Resolved.find(interface, resolved_run)
    file = ResolvConf(record, resolv_conf)
    if resolved is None:
        return (file,)
    if resolv_conf_leads_to_it(resolv_conf):
        return (resolved,)
    return (file, resolved)


def own_servers(
    record: Path, resolv_conf: Path = PATH, resolved_run: Path = RUN
) -> tuple[AddrPort, ...]:
    """Return the servers that the host has of its own, without a bus, also after a crash."""
    if resolv_conf_leads_to_it(resolv_conf):
        return read_upstreams(resolved_run)
    return ResolvConf(record, resolv_conf).upstreams() or read_upstreams(resolved_run)
