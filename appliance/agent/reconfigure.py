"""What happens on a new netmap, on new prefs, or when the machine's networks change."""

from dataclasses import replace

from appliance.agent.plan.dataplane import plan_dataplane
from appliance.agent.plan.dns import plan_dns, plan_peerapi
from appliance.agent.plan.gateway import plan_gateway
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.underlay import plan_underlay
from appliance.agent.rooms import Rooms, Underlay
from appliance.gateway.config import GatewayConfig
from appliance.gateway.routes import DEFAULT_ROUTES
from appliance.protocol.addresses import IPNetwork


async def close_the_door(
    rooms: Rooms,
    interface: str,
    listen_port: int,
    fwmark: int,
    lan: frozenset[IPNetwork] | None,
    *,
    lan_access: bool = False,
    hold_dns: bool = False,
) -> None:
    """Let nothing in from a tunnel yet to come, unless an earlier run's filter stands.

    With an exit node in use nothing gets out either, but to ``lan``; None: no exit node. Discovery
    on the LAN is let out with ``lan_access``; DNS does not even get to ``lan`` with ``hold_dns``.
    """
    status = await rooms.gateway.observe()
    if status.ruleset and (lan is None or status.routes >= DEFAULT_ROUTES):
        return
    await rooms.gateway.apply(
        GatewayConfig(
            interface=interface,
            addresses=(),
            listen_port=listen_port,
            fwmark=fwmark,
            local_networks=lan or frozenset(),
            use_exit=lan is not None,
            lan_access=lan_access,
            hold_dns=hold_dns and lan is not None,
        )
    )


async def reconfigure(rooms: Rooms, underlay: Underlay, inputs: Inputs) -> None:
    """Make the machine match; equal inputs are no work.

    The underlay comes first, because each new peer of the device starts at its relay proxy; the
    gateway last, because routes need the device. Nothing comes in meanwhile that the filter in
    force does not know. The port for peers needs our addresses, and the filter the port; the host
    is pointed at our resolver after everything that it needs is there, and let go before.
    """
    dns = plan_dns(inputs)
    if not dns.stub:
        await rooms.dns.apply(dns)
    await underlay.apply(plan_underlay(inputs))
    await rooms.dataplane.apply(plan_dataplane(inputs, underlay.proxy_endpoint))
    port = await rooms.peerapi.apply(plan_peerapi(inputs))
    gateway = plan_gateway(inputs)
    await rooms.gateway.apply(
        replace(gateway, exit_dns_port=port, hold_dns=bool(dns.stub) and dns.point_host)
    )
    if dns.stub:
        await rooms.dns.apply(dns)
