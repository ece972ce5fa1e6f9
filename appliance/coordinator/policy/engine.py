"""The contract between a policy and the mapper, and the policy that allows everything."""

from typing import Final, Protocol

from appliance.coordinator import routes
from appliance.coordinator.ipam import TAILNET_V4, TAILNET_V6
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.protocol.tailcfg import FilterRule, NetPortRange

INTERNET: Final = (
    "0.0.0.0-9.255.255.255",
    "11.0.0.0-100.63.255.255",
    "100.128.0.0-169.253.255.255",
    "169.255.0.0-172.15.255.255",
    "172.32.0.0-192.167.255.255",
    "192.169.0.0-255.255.255.255",
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
)
"""What an exit node may be asked to reach: everything but private ranges and the tailnet."""


class Policy(Protocol):
    """Decides who may reach what; the same snapshot always gives the same answers."""

    def rules_for(self, snapshot: Snapshot, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the packet filter of one node: only what concerns its own destinations."""

    def may_meet(self, snapshot: Snapshot, one: NodeRecord, other: NodeRecord) -> bool:
        """Whether one may reach the other or the other way round, so that each must know it."""


class AllowAll:
    """Every node of the tailnet, and every host behind a granted route, may reach everything."""

    def rules_for(self, snapshot: Snapshot, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Allow all sources to the viewer's addresses, routes and (as exit node) the internet."""
        subnets = (str(prefix) for prefix in routes.in_order(snapshot.primaries))
        sources = (str(TAILNET_V4), str(TAILNET_V6), *subnets)
        return (FilterRule(src_ips=sources, dst_ports=any_port(destinations(viewer))),)

    def may_meet(self, snapshot: Snapshot, one: NodeRecord, other: NodeRecord) -> bool:
        """Allow any two."""
        return True


def destinations(viewer: NodeRecord) -> tuple[str, ...]:
    """Return every destination that reaches its packets through this node."""
    own = tuple(str(address) for address in viewer.addresses)
    subnets = routes.granted(viewer) - routes.EXIT_ROUTES
    through = tuple(str(prefix) for prefix in routes.in_order(subnets))
    return own + through + (INTERNET if routes.exit_routes(viewer) else ())


def any_port(targets: tuple[str, ...]) -> tuple[NetPortRange, ...]:
    """Return the targets with all of their ports."""
    return tuple(NetPortRange(ip=target) for target in targets)
