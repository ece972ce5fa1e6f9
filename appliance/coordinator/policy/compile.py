"""A policy of access rules: who is told of whom, and what each node lets in. Pure.

Source: the rules that Tailscale and Headscale compile from ``acls`` and ``grants``, 2026-08. A node
is told only of rules whose destination is itself, a subnet route granted to it, or (as exit node)
the internet.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.coordinator import routes
from appliance.coordinator.ipam import TAILNET_V6
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import INTERNET
from appliance.coordinator.policy.rules import PolicyText, Rule, Target
from appliance.coordinator.policy.selectors import (
    Anyone,
    Auto,
    Network,
    NodeIndex,
    Nodes,
    Selector,
    Span,
    span,
)
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange

_EVERY_NODE: Final = (
    "100.64.0.0-100.115.91.255",
    "100.115.94.0-100.127.255.255",
    str(TAILNET_V6),
)
"""The tailnet without the range that ChromeOS uses inside."""

_TCP: Final = 6

_Sources = tuple[str, ...]


class RulePolicy:
    """Allows what its rules allow."""

    def __init__(self, said: PolicyText, rules: tuple[Rule, ...]) -> None:
        self.said = said
        self._rules = rules

    def reach(self, snapshot: Snapshot) -> "RuleReach":
        """Work out sources and destinations of every rule."""
        return RuleReach(snapshot, self._rules)


@dataclass(frozen=True, slots=True)
class _Line:
    """One target of one rule, and which nodes it is about."""

    rule: Rule
    target: Target
    senders: Nodes
    receivers: Nodes
    target_spans: tuple[Span, ...]
    """Addresses behind routers that packets may go to."""
    source_spans: tuple[Span, ...]
    """Addresses behind routers that packets may come from."""


class RuleReach:
    """What the rules mean for the nodes of one snapshot; each node's filter is made when asked."""

    def __init__(self, snapshot: Snapshot, rules: tuple[Rule, ...]) -> None:
        self._snapshot = snapshot
        self._rules = rules
        self._index = NodeIndex(snapshot)
        self._lines = [
            _Line(
                rule,
                target,
                senders,
                self._reached(target.selector),
                _spans([target.selector]),
                () if target.selector is Auto.SELF else source_spans,
            )
            for rule in rules
            for senders, source_spans in [(self._nodes(rule.sources), _spans(rule.sources))]
            for target in rule.targets
        ]
        self._source_texts: dict[int, _Sources] = {}
        self._filters: dict[int, tuple[FilterRule, ...]] = {}
        self._users: dict[IPNetwork, Nodes] = {}
        self._peers = self._meetings()

    def may_meet(self, one: int, other: int) -> bool:
        """Whether a rule lets one reach the other, or the other way round."""
        return bool(self._peers.get(one, 0) & self._index.bits.get(other, 0))

    def may_open(self, source: int, target: int) -> bool:
        """Whether the source may open TCP connections to the target's own addresses."""
        sender, receiver = self._index.bits[source], self._index.bits[target]
        node, other = self._snapshot.nodes[target], self._snapshot.nodes[source]
        return any(
            line.senders & sender and line.receivers & receiver and _opens(line, other, node)
            for line in self._lines
        )

    def may_use(self, viewer: int, prefix: IPNetwork) -> bool:
        """Whether packets pass between the viewer and hosts of this route, either way."""
        users = self._users.get(prefix)
        if users is None:
            users = self._users[prefix] = self._users_of(prefix)
        return bool(users & self._index.bits.get(viewer, 0))

    def rules_for(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the packet filter of one node; rules with the same sources are one."""
        known = self._filters.get(viewer.id)
        if known is None:
            known = self._filters[viewer.id] = self._compile(viewer)
        return known

    def _compile(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        bit = self._index.bits.get(viewer.id, 0)
        merged: dict[tuple[_Sources, tuple[int, ...]], list[NetPortRange]] = {}
        for line in self._lines:
            if not line.receivers & bit:
                continue
            rule = line.rule
            if line.target.selector is Auto.SELF:
                found = self._own_sources(viewer, line.senders)
            else:
                found = self._sources(rule)
            if found:
                ports = merged.setdefault((found, rule.protocols), [])
                ports.extend(_destinations(viewer, line.target))
        return tuple(
            FilterRule(src_ips=sources, dst_ports=tuple(reached), ip_proto=protocols or None)
            for (sources, protocols), reached in merged.items()
        )

    def _users_of(self, prefix: IPNetwork) -> Nodes:
        """Return whom a rule lets reach the route's hosts, and whom these may reach.

        Nobody on the internet is a source. A second router of the same subnet sees it as well.
        """
        subnet = frozenset({prefix}) - routes.EXIT_ROUTES
        users = self._index.having(lambda node: bool(subnet & routes.granted(node)))
        if not subnet:
            return self._internet_users()
        wanted = span(prefix)
        for line in self._lines:
            if _overlap(line.target_spans, wanted):
                users |= line.senders
            if _overlap(line.source_spans, wanted):
                users |= line.receivers
        return users

    def _internet_users(self) -> Nodes:
        users = 0
        for line in self._lines:
            if isinstance(line.target.selector, Anyone) or line.target.selector is Auto.INTERNET:
                users |= line.senders
        return users

    def _meetings(self) -> dict[int, Nodes]:
        """Return for each node whom it may reach, or is reached by."""
        met = [0] * len(self._index.records)
        for senders, receivers in self._pairs():
            for at in _positions(senders):
                met[at] |= receivers
            for at in _positions(receivers):
                met[at] |= senders
        return {node.id: met[at] for at, node in enumerate(self._index.records)}

    def _pairs(self) -> set[tuple[Nodes, Nodes]]:
        pairs: set[tuple[Nodes, Nodes]] = set()
        for line in self._lines:
            if line.target.selector is Auto.SELF:
                pairs.update((line.senders & own, own) for own in self._index.people.values())
            else:
                pairs.add((line.senders, line.receivers))
        return pairs

    def _nodes(self, selectors: tuple[Selector, ...]) -> Nodes:
        found = 0
        for selector in selectors:
            found |= self._index.nodes(selector)
        return found

    def _reached(self, selector: Selector) -> Nodes:
        if selector is Auto.INTERNET:
            return self._index.exits
        return self._index.nodes(Auto.MEMBER if selector is Auto.SELF else selector)

    def _sources(self, rule: Rule) -> _Sources:
        """Return the sources of a rule as a filter writes them."""
        known = self._source_texts.get(id(rule))
        if known is None:
            found = {text for selector in rule.sources for text in self._texts(selector)}
            known = self._source_texts[id(rule)] = tuple(sorted(found))
        return known

    def _texts(self, selector: Selector) -> Iterable[str]:
        match selector:
            case Anyone():
                return (*_EVERY_NODE, *map(str, self._snapshot.primaries))
            case Network(prefix):
                return (_text(prefix),)
            case _:
                return self._addresses(self._index.nodes(selector))

    def _own_sources(self, viewer: NodeRecord, senders: Nodes) -> _Sources:
        """Return the addresses of the viewer's owner's nodes that the rule lets in."""
        own = self._index.people.get(viewer.user_id or 0, 0)
        return tuple(sorted(self._addresses(own & senders)))

    def _addresses(self, nodes: Nodes) -> list[str]:
        expired = self._snapshot.expired
        return [text for at in _positions(nodes) for text in self._index.addresses(at, expired)]


def _opens(line: _Line, source: NodeRecord, target: NodeRecord) -> bool:
    """Whether a line that is about both lets TCP through to the target itself."""
    if line.rule.protocols and _TCP not in line.rule.protocols:
        return False
    match line.target.selector:
        case Network(prefix):
            return any(address in prefix for address in target.addresses)
        case Auto.SELF:
            return source.user_id == target.user_id
        case Auto.INTERNET:
            return False
        case _:
            return True


def _spans(selectors: Iterable[Selector]) -> tuple[Span, ...]:
    """Return the addresses of hosts behind routers that selectors may mean."""
    found: list[Span] = []
    for selector in selectors:
        if isinstance(selector, Anyone):
            found += map(span, routes.EXIT_ROUTES)
        elif isinstance(selector, Network):
            found.append(span(selector.prefix))
    return tuple(found)


def _overlap(spans: tuple[Span, ...], wanted: Span) -> bool:
    version, first, last = wanted
    return any(v == version and low <= last and first <= high for v, low, high in spans)


def _positions(nodes: Nodes) -> Iterator[int]:
    while nodes:
        lowest = nodes & -nodes
        yield lowest.bit_length() - 1
        nodes ^= lowest


def _destinations(viewer: NodeRecord, target: Target) -> Iterator[NetPortRange]:
    for ip in _destination_ips(viewer, target.selector):
        for ports in target.ports:
            yield NetPortRange(ip=ip, ports=ports)


def _destination_ips(viewer: NodeRecord, selector: Selector) -> Iterable[str]:
    """Return what a selector that means the viewer is in the viewer's filter."""
    match selector:
        case Anyone():
            return ("*",)
        case Network(prefix):
            return (_text(prefix),)
        case Auto.INTERNET:
            return INTERNET if routes.exit_routes(viewer) else ()
        case _:
            return map(str, viewer.addresses)


def _text(prefix: IPNetwork) -> str:
    single = prefix.prefixlen == prefix.max_prefixlen
    return str(prefix.network_address) if single else str(prefix)
