"""A policy of access rules: who is told of whom, and what each node lets in. Pure.

Source: the rules that Tailscale and Headscale compile from ``acls``, 2026-08. A node is told only
of rules whose destination is itself, a subnet route granted to it, or (as exit node) the internet.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from appliance.coordinator import routes
from appliance.coordinator.ipam import TAILNET_V6
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import INTERNET
from appliance.coordinator.policy.parse import Acl, Target
from appliance.coordinator.policy.selectors import (
    Anyone,
    Auto,
    Network,
    Selector,
    is_member,
    touches,
)
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange

_EVERY_NODE: Final = (
    "100.64.0.0-100.115.91.255",
    "100.115.94.0-100.127.255.255",
    str(TAILNET_V6),
)
"""The tailnet without the range that ChromeOS uses inside."""

_Sources = tuple[str, ...]


class AclPolicy:
    """Allows what its rules allow."""

    def __init__(self, acls: tuple[Acl, ...]) -> None:
        self._acls = acls
        # The sources of a rule are the same for all viewers of one snapshot.
        self._known: tuple[Snapshot, list[_Sources]] | None = None

    def rules_for(self, snapshot: Snapshot, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the packet filter of one node; rules with the same sources are one."""
        merged: dict[tuple[_Sources, tuple[int, ...]], list[NetPortRange]] = {}
        for acl, sources in zip(self._acls, self._sources(snapshot), strict=True):
            for target in acl.targets:
                found = sources
                if target.selector is Auto.SELF:
                    found = _own_nodes(snapshot, acl, viewer)
                reached = list(_destinations(snapshot, viewer, target))
                if found and reached:
                    merged.setdefault((found, acl.protocols), []).extend(reached)
        return tuple(
            FilterRule(src_ips=sources, dst_ports=tuple(reached), ip_proto=protocols or None)
            for (sources, protocols), reached in merged.items()
        )

    def may_meet(self, snapshot: Snapshot, one: NodeRecord, other: NodeRecord) -> bool:
        """Whether a rule lets one reach the other, or the other way round."""
        return any(
            _allows(snapshot, acl, one, other) or _allows(snapshot, acl, other, one)
            for acl in self._acls
        )

    def _sources(self, snapshot: Snapshot) -> list[_Sources]:
        if self._known is None or self._known[0] is not snapshot:
            self._known = (snapshot, [_source_ips(snapshot, acl.sources) for acl in self._acls])
        return self._known[1]


def _source_ips(snapshot: Snapshot, selectors: tuple[Selector, ...]) -> _Sources:
    found: set[str] = set()
    for selector in selectors:
        match selector:
            case Anyone():
                found.update(_EVERY_NODE, (_text(prefix) for prefix in snapshot.primaries))
            case Network(prefix):
                found.add(_text(prefix))
            case _:
                found.update(_addresses(snapshot, selector))
    return tuple(sorted(found))


def _addresses(snapshot: Snapshot, selector: Selector) -> Iterator[str]:
    for node in snapshot.nodes.values():
        if node.id not in snapshot.expired and is_member(snapshot, node, selector):
            yield from map(str, node.addresses)


def _own_nodes(snapshot: Snapshot, acl: Acl, viewer: NodeRecord) -> _Sources:
    """Return the addresses of the viewer's owner's nodes that the rule lets in."""
    own = (
        node
        for node in snapshot.nodes.values()
        if _same_person(node, viewer)
        and node.id not in snapshot.expired
        and _is_source(snapshot, acl, node)
    )
    return tuple(sorted(str(address) for node in own for address in node.addresses))


def _destinations(snapshot: Snapshot, viewer: NodeRecord, target: Target) -> Iterator[NetPortRange]:
    for ip in _destination_ips(snapshot, viewer, target.selector):
        for ports in target.ports:
            yield NetPortRange(ip=ip, ports=ports)


def _destination_ips(snapshot: Snapshot, viewer: NodeRecord, selector: Selector) -> Iterable[str]:
    match selector:
        case Anyone():
            return ("*",)
        case Network(prefix):
            return (_text(prefix),) if touches(viewer, prefix) else ()
        case Auto.INTERNET:
            return INTERNET if routes.exit_routes(viewer) else ()
        case Auto.SELF:
            return map(str, viewer.addresses) if viewer.user_id is not None else ()
        case _:
            is_meant = is_member(snapshot, viewer, selector)
            return map(str, viewer.addresses) if is_meant else ()


def _allows(snapshot: Snapshot, acl: Acl, source: NodeRecord, target: NodeRecord) -> bool:
    if not _is_source(snapshot, acl, source):
        return False
    for each in acl.targets:
        if each.selector is Auto.SELF:
            if _same_person(source, target):
                return True
        elif any(True for _ in _destination_ips(snapshot, target, each.selector)):
            return True
    return False


def _is_source(snapshot: Snapshot, acl: Acl, node: NodeRecord) -> bool:
    for selector in acl.sources:
        if isinstance(selector, Anyone) or is_member(snapshot, node, selector):
            return True
        if isinstance(selector, Network) and touches(node, selector.prefix):
            return True
    return False


def _same_person(one: NodeRecord, other: NodeRecord) -> bool:
    return one.user_id is not None and one.user_id == other.user_id


def _text(prefix: IPNetwork) -> str:
    single = prefix.prefixlen == prefix.max_prefixlen
    return str(prefix.network_address) if single else str(prefix)
