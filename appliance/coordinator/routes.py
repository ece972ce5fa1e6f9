"""Routes: what a node advertises, what an admin approved, and who carries it. Pure.

A route is *granted* when it is both advertised and approved: a withdrawn route vanishes, its
approval stays. A granted subnet route is carried by one node, its *primary*; exit routes may be
granted to many, because each client chooses one.
"""

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_network
from typing import Final

from appliance.coordinator.errors import InvalidError
from appliance.coordinator.ipam import TAILNET_V4, TAILNET_V6
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import IPAddress, IPNetwork

EXIT_ROUTES: Final[frozenset[IPNetwork]] = frozenset({ip_network("0.0.0.0/0"), ip_network("::/0")})

_UNROUTABLE: Final[tuple[tuple[IPNetwork, str], ...]] = (
    (TAILNET_V4, "the tailnet's own addresses"),
    (TAILNET_V6, "the tailnet's own addresses"),
    (ip_network("127.0.0.0/8"), "loopback addresses"),
    (ip_network("::1/128"), "loopback addresses"),
    (ip_network("169.254.0.0/16"), "link-local addresses"),
    (ip_network("fe80::/10"), "link-local addresses"),
    (ip_network("224.0.0.0/4"), "multicast addresses"),
    (ip_network("ff00::/8"), "multicast addresses"),
)

Primaries = Mapping[IPNetwork, int]


def is_exit(prefix: IPNetwork) -> bool:
    """Whether this is one of the two default routes."""
    return prefix.prefixlen == 0


def in_order(prefixes: Iterable[IPNetwork]) -> tuple[IPNetwork, ...]:
    """Sort as peers see them: subnets by family and number, then 0.0.0.0/0 and ::/0."""
    return tuple(sorted(prefixes, key=lambda p: (is_exit(p), p.version, int(p[0]), p.prefixlen)))


def advertised(node: NodeRecord) -> frozenset[IPNetwork]:
    """Return what the node offers to carry; half of an exit pair is nothing."""
    offered = frozenset(node.hostinfo.routable_ips or ())
    return offered if offered >= EXIT_ROUTES else offered - EXIT_ROUTES


def granted(node: NodeRecord) -> frozenset[IPNetwork]:
    """Return what the node offers and may carry."""
    if not node.approved_routes:
        return frozenset()
    return node.approved_routes & advertised(node)


def elect_primaries(snapshot: Snapshot) -> Primaries:
    """Choose one carrier for each granted subnet route.

    The present one stays while it is online and answers; then the lowest that does; then the
    same among those that are silent; with none online the present one stays, so that nothing
    changes hands while a router restarts.
    """
    previous = snapshot.primaries
    carriers: dict[IPNetwork, list[NodeRecord]] = {}
    for node in snapshot.nodes.values():
        if not node.approved_routes or node.id in snapshot.expired:
            continue
        for prefix in granted(node) - EXIT_ROUTES:
            carriers.setdefault(prefix, []).append(node)
    elected = {
        prefix: _elect(found, previous.get(prefix), snapshot.silent)
        for prefix, found in carriers.items()
    }
    return previous if elected == previous else elected


def _elect(candidates: list[NodeRecord], present: int | None, silent: frozenset[int]) -> int:
    online = [node.id for node in candidates if node.online]
    answering = [n for n in online if n not in silent]
    choice = answering or online or [node.id for node in candidates]
    return present if present is not None and present in choice else min(choice)


def carried(snapshot: Snapshot, node: NodeRecord) -> frozenset[IPNetwork]:
    """Return the subnet routes that this node is primary for."""
    return frozenset(p for p in granted(node) if snapshot.primaries.get(p) == node.id)


def served(snapshot: Snapshot, node: NodeRecord) -> frozenset[IPNetwork]:
    """Return the routes that peers can use through this node now."""
    if not node.online or node.id in snapshot.expired | snapshot.silent:
        return frozenset()
    return carried(snapshot, node) | exit_routes(node)


def exit_routes(node: NodeRecord) -> frozenset[IPNetwork]:
    """Return both default routes when the node may be an exit node, else nothing."""
    return granted(node) & EXIT_ROUTES


def unroutable(prefix: IPNetwork) -> str:
    """Say what a prefix contains that no subnet route may, or nothing."""
    for range_, what in _UNROUTABLE:
        if prefix.version == range_.version and prefix.overlaps(range_):
            return what
    return ""


def held(prefix: IPNetwork, addresses: Iterable[IPAddress]) -> IPAddress | None:
    """Return the first of the addresses that lies in a prefix."""
    return next((address for address in addresses if address in prefix), None)


def is_home(prefix: IPNetwork, lans: Iterable[IPNetwork]) -> bool:
    """Whether it is one of the coordinator's own networks, or a part of one."""
    return any(prefix == lan or _lies_in(prefix, lan) for lan in lans)


def parse_approval(
    texts: Iterable[str],
    coordinator: Iterable[IPAddress] = (),
    relays: Iterable[IPAddress] = (),
    lans: Collection[IPNetwork] = (),
) -> frozenset[IPNetwork]:
    """Read what an admin asks to approve; ``exit`` or either default route means both.

    In its own private networks (``lans``) nodes find the coordinator without a route, and
    elsewhere they do not find it at that address anyway: these may be approved.
    """
    whose = {address: f"the relay's address {address}" for address in relays}
    whose |= {address: f"this coordinator's own address {address}" for address in coordinator}
    wanted: set[IPNetwork] = set()
    for text in texts:
        wanted |= _parse_one(text.strip(), whose, lans)
    return frozenset(wanted)


def _parse_one(
    text: str, whose: Mapping[IPAddress, str], lans: Collection[IPNetwork]
) -> frozenset[IPNetwork]:
    if text == "exit":
        return EXIT_ROUTES
    prefix = _strict_network(text)
    if is_exit(prefix):
        return EXIT_ROUTES
    if what := unroutable(prefix):
        raise _malformed(f"{prefix} cannot be a subnet route: it contains {what}.")
    if is_home(prefix, lans):
        return frozenset({prefix})
    if address := held(prefix, whose):
        raise InvalidError(
            f"{prefix} contains {whose[address]}: nodes would lose their way to it. Approve "
            "smaller routes that leave it out.",
            ExitStatus.ROUTE_HOLDS_COORDINATOR.code,
        )
    return frozenset({prefix})


def _strict_network(text: str) -> IPNetwork:
    try:
        loose = ip_network(text, strict=False)
    except ValueError:
        raise _malformed(
            f"{text[:60]!r} is not a route: write it like 192.168.1.0/24, or exit."
        ) from None
    if "/" not in text:
        return loose
    try:
        return ip_network(text)
    except ValueError:
        raise _malformed(
            f"{text} has bits set after its prefix length. Did you mean {loose}?"
        ) from None


def _malformed(message: str) -> InvalidError:
    return InvalidError(message, ExitStatus.ROUTE_MALFORMED.code)


def publishable(node: NodeRecord, address: IPAddress) -> bool:
    """Whether the address lies in a subnet route that an admin approved for this node."""
    return any(address in prefix for prefix in node.approved_routes if not is_exit(prefix))


def published(snapshot: Snapshot, node: NodeRecord) -> tuple[IPAddress, ...]:
    """Return the LAN hosts that peers see among this router's addresses now."""
    if not node.published:
        return ()
    routes = carried(snapshot, node)
    shown = (a for a in node.published if any(a in prefix for prefix in routes))
    return tuple(sorted(shown, key=lambda a: (a.version, int(a))))


def remarks(snapshot: Snapshot, node: NodeRecord) -> tuple[str, ...]:
    """Say what other routers mean for the subnets of this one."""
    found = []
    for prefix in in_order(granted(node) - EXIT_ROUTES):
        carrier = snapshot.nodes[snapshot.primaries.get(prefix, node.id)]
        if carrier.id != node.id:
            found.append(f"{carrier.name} carries {prefix}; {node.name} stands by for it.")
        for other, number in snapshot.primaries.items():
            if number != node.id and _lies_in(other, prefix):
                name = snapshot.nodes[number].name
                found.append(
                    f"{other} of {name} lies inside {prefix} of {node.name}: what is in both goes "
                    f"through {name}."
                )
    return tuple(found)


def _lies_in(inner: IPNetwork, outer: IPNetwork) -> bool:
    longer = inner.prefixlen > outer.prefixlen
    return inner.version == outer.version and longer and inner[0] in outer
