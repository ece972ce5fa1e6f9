"""Which subnets must not be advertised, because the mesh itself needs them elsewhere. Pure."""

from collections.abc import Iterable, Mapping

from appliance.agent.plan.routes import contains
from appliance.exit_status import ExitStatus
from appliance.host.network import NetworkState
from appliance.netmap.prefs import PrefsError
from appliance.protocol.addresses import IPAddress, IPNetwork


def refuse_routes(
    routes: Iterable[IPNetwork],
    coordinator: Iterable[IPAddress],
    relays: Mapping[str, frozenset[IPAddress]],
    network: NetworkState,
) -> None:
    """Raise ``PrefsError`` for a subnet with the coordinator, a relay or a gateway in it.

    ``relays`` has the addresses by host name. All of them may be in our own LAN, or in a part of
    it: there every machine finds them without us, and elsewhere nobody does at a private address.
    """
    coordinator = tuple(coordinator)
    for route in routes:
        if any(contains(lan, route) for lan in network.lan_networks):
            continue
        for address in coordinator:
            if address in route:
                raise PrefsError(
                    f"{route} contains the coordinator ({address}), which every node must reach "
                    "without this one. Advertise a smaller subnet.",
                    ExitStatus.ROUTE_HOLDS_COORDINATOR,
                )
        for name, addresses in relays.items():
            for address in addresses:
                if address in route:
                    raise PrefsError(
                        f"{route} contains the relay {name} ({address}), which every node must "
                        "reach without this one. Advertise a smaller subnet.",
                        ExitStatus.ROUTE_HOLDS_RELAY,
                    )
        _refuse_gateway(route, network)


def _refuse_gateway(route: IPNetwork, network: NetworkState) -> None:
    if any(contains(attached, route) for attached in network.attached_networks):
        return
    for default in network.default_routes:
        gateway = default.gateway
        if gateway is not None and gateway in route:
            lan = next((n for n in network.attached_networks if gateway in n), None)
            advice = (
                f"Advertise {lan} instead, and other subnets by name."
                if lan
                else ("Advertise a smaller subnet.")
            )
            raise PrefsError(
                f"{route} contains this machine's default gateway {gateway}, and more than its "
                f"own LAN. {advice}",
                ExitStatus.ROUTE_HOLDS_GATEWAY,
            )
