"""The contract between a policy and the mapper, and the policy that allows everything."""

from typing import Final, Protocol

from appliance.coordinator import routes
from appliance.coordinator.ipam import TAILNET_V4, TAILNET_V6
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.rules import PolicyText
from appliance.protocol.addresses import IPNetwork
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


class Reach(Protocol):
    """What a policy means for the nodes of one snapshot.

    It holds for later snapshots too, as long as no node's place changes: owner, tags, addresses,
    granted routes, whether its key has expired, and the users' names.
    """

    def rules_for(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the packet filter of one node: only what concerns its own destinations."""

    def may_open(self, source: int, target: int) -> bool:
        """Whether the source may open TCP connections to the target's own addresses."""

    def may_use(self, viewer: int, prefix: IPNetwork) -> bool:
        """Whether packets pass between the viewer and hosts behind this route, either way."""

    def may_meet(self, one: int, other: int) -> bool:
        """Whether one may reach the other or the other way round, so that each must know it."""


class Policy(Protocol):
    """Decides who may reach what."""

    @property
    def said(self) -> PolicyText:
        """What its text says."""

    def reach(self, snapshot: Snapshot) -> Reach:
        """Work out what it means for these nodes."""


class AllowAll:
    """Every node of the tailnet, and every host behind a granted route, may reach everything.

    An exit node lets nobody into private networks that were not approved as routes.
    """

    def __init__(self, said: PolicyText = PolicyText()) -> None:  # noqa: B008 - immutable
        self.said = said

    def reach(self, snapshot: Snapshot) -> Reach:
        """Allow all sources to everybody."""
        subnets = (str(prefix) for prefix in routes.in_order(snapshot.primaries))
        return _ReachAll((str(TAILNET_V4), str(TAILNET_V6), *subnets))


class _ReachAll:
    def __init__(self, sources: tuple[str, ...]) -> None:
        self._sources = sources

    def rules_for(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Allow all sources to the viewer's addresses, routes and (as exit node) the internet."""
        targets = tuple(NetPortRange(ip=target) for target in destinations(viewer))
        return (FilterRule(src_ips=self._sources, dst_ports=targets),)

    def may_open(self, _source: int, _target: int) -> bool:
        """Allow any."""
        return True

    def may_use(self, _viewer: int, _prefix: IPNetwork) -> bool:
        """Allow every route."""
        return True

    def may_meet(self, _one: int, _other: int) -> bool:
        """Allow any two."""
        return True


def destinations(viewer: NodeRecord) -> tuple[str, ...]:
    """Return every destination that reaches its packets through this node."""
    own = tuple(str(address) for address in viewer.addresses)
    subnets = routes.granted(viewer) - routes.EXIT_ROUTES
    through = tuple(str(prefix) for prefix in routes.in_order(subnets))
    return own + through + (INTERNET if routes.exit_routes(viewer) else ())
