"""What comes in to this machine itself, from the tunnel and from outside. Pure."""

from collections.abc import Iterator

from appliance.gateway.chains.admission import match
from appliance.gateway.chains.refusals import pretenders, strays
from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import TCP, TSMP, Allow
from appliance.gateway.marks import ADMITTED_MARK, CT_TO_US, IS_NOT_CUT, set_ct_mark, set_mark
from appliance.gateway.zones import exit_users, here, own


def closed_input(config: GatewayConfig) -> Iterator[str]:
    """Without a filter nothing comes in from the tunnel."""
    yield f'iifname "{config.interface}" drop'
    yield from _outside(config)


def open_input(config: GatewayConfig) -> Iterator[str]:
    """Let ``mesh_to_us`` decide about what comes from the tunnel."""
    yield f'iifname "{config.interface}" goto mesh_to_us'
    yield from _outside(config)


def mesh_to_us(config: GatewayConfig, allows: tuple[Allow, ...]) -> Iterator[str]:
    """Let in what the filter admits, and what belongs to a connection that it did admit."""
    admitted = f"{set_mark(ADMITTED_MARK)} {set_ct_mark(CT_TO_US)} accept"
    yield f"{IS_NOT_CUT} ct state established accept"
    yield from strays(f"{IS_NOT_CUT} ct state related accept")
    for version, ours in own(config):
        to_own = match(version, "daddr", ours)
        yield f"{to_own} meta l4proto {TSMP} accept"
        users = exit_users(config, allows, version)
        if config.serve_exit and config.exit_dns_port and users:
            port = f"meta l4proto {TCP} th dport {config.exit_dns_port}"
            yield f"{to_own} {port} {match(version, 'saddr', users)} {admitted}"
    for version in (4, 6):
        if found := here(config, version):
            yield f"{match(version, 'daddr', found)} jump admit{version}"
            yield f"{match(version, 'daddr', found)} {admitted}"
    yield "counter drop"


def before_dnat(config: GatewayConfig) -> Iterator[str]:
    """Ask the filter about a new connection to this machine while its port is the one asked for.

    Docker and its like then put a container's address and port in its place.
    """
    yield f'iifname != "{config.interface}" accept'
    yield "ct state != new accept"
    yield f"meta l4proto {TSMP} accept"
    if config.exit_dns_port:
        yield f"meta l4proto {TCP} th dport {config.exit_dns_port} accept"
    for version, ours in own(config):
        yield f"{match(version, 'daddr', ours)} jump admit{version}"
        yield f"{match(version, 'daddr', ours)} {set_ct_mark(CT_TO_US)}"


def _outside(config: GatewayConfig) -> Iterator[str]:
    """Stop those outside the tunnel who pretend to be in it, and who call our address there."""
    yield f"udp dport {config.listen_port} accept"
    yield 'iifname "lo" accept'
    yield from pretenders(config)
    for version, ours in own(config):
        yield f"{match(version, 'daddr', ours)} counter drop"
