"""What happens on a new netmap, on new prefs, or when the machine's networks change."""

from appliance.agent.plan.dataplane import plan_dataplane
from appliance.agent.plan.gateway import plan_gateway
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.underlay import plan_underlay
from appliance.agent.rooms import Rooms, Underlay
from appliance.gateway.config import GatewayConfig


async def close_the_door(rooms: Rooms, interface: str, listen_port: int, fwmark: int) -> None:
    """Let nothing in from a tunnel yet to come, unless an earlier run's filter stands."""
    if (await rooms.gateway.observe()).ruleset:
        return
    await rooms.gateway.apply(
        GatewayConfig(interface=interface, addresses=(), listen_port=listen_port, fwmark=fwmark)
    )


async def reconfigure(rooms: Rooms, underlay: Underlay, inputs: Inputs) -> None:
    """Make the machine match; equal inputs are no work.

    The underlay comes first, because each new peer of the device starts at its relay proxy; the
    gateway last, because routes need the device. Nothing comes in meanwhile that the filter in
    force does not know.
    """
    await underlay.apply(plan_underlay(inputs))
    await rooms.dataplane.apply(plan_dataplane(inputs, underlay.proxy_endpoint))
    await rooms.gateway.apply(plan_gateway(inputs))
