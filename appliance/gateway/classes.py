"""The parsed packet filter as tables that the kernel looks up in a few steps, whatever their size.

Sources fall into classes: all addresses to which the same rules apply. One interval map leads from
a source to its class, and one look-up of (class, destination, port) answers. Entries that are one
address and one port go into hash tables, others into interval tables, whose rows must not overlap.

Rules for every source stand apart (the *open* tables have no class), and so do rules whose sources
are split into so many classes that their rows would multiply. Pure.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from appliance.gateway import ranges
from appliance.gateway.filter import ALL_PORTS, ICMP, ICMPV6, PORT_PROTOCOLS, TCP, UDP, Allow, Ports
from appliance.gateway.ranges import Range, Ranges

GROWTH: Final = 3
"""By how much classes may multiply a filter's rows; a row takes about 1.3 µs to commit."""
ROOM_TO_GROW: Final = 8192
"""The same for a small filter: 10 ms."""
MAX_WORK: Final = 200_000
"""Steps of one division into classes; each takes a microsecond."""

BOTH: Final = -1
"""In place of a protocol number: TCP and UDP alike."""


class Row(NamedTuple):
    """What one class may reach: an address range, and ports where the table has them."""

    klass: int
    protocol: int
    addresses: Range
    ports: Ports


@dataclass(frozen=True, slots=True)
class Tables:
    """Rows of one kind each; in those *by protocol* the protocol is looked up as well."""

    whole: tuple[Row, ...] = ()
    """TCP and UDP, all ports."""
    ports: tuple[Row, ...] = ()
    """TCP and UDP, some ports."""
    whole_by_protocol: tuple[Row, ...] = ()
    ports_by_protocol: tuple[Row, ...] = ()
    icmp: tuple[Row, ...] = ()
    """Wherever any port is open."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Rules that are looked up together; a packet passes when any layer lets it.

    ``sources`` None: the class decides (``Classes.of_source``); else one class, number 0.
    """

    sources: Ranges | None
    tables: Tables


@dataclass(frozen=True, slots=True)
class Classes:
    """One address family's filter."""

    version: int
    of_source: tuple[tuple[Range, int], ...] = ()
    """Which source is of which class, sorted; a source without class has no rule of its own."""
    layers: tuple[Layer, ...] = ()


Entry = tuple[Ports, int, Ranges]
"""Ports, protocol (or BOTH) and where."""


@dataclass(slots=True)
class _Group:
    """All rules of the same sources."""

    sources: Ranges
    entries: list[Entry] = field(default_factory=list)
    reach: list[Range] = field(default_factory=list)

    def size(self) -> int:
        return len(self.reach) + sum(len(where) for _, _, where in self.entries)


def classify(allows: Iterable[Allow], version: int) -> Classes:
    """Arrange the allows of one family."""
    groups = _groups(allow for allow in allows if allow.version == version)
    apart = [group for group in groups if group.sources == ranges.everything(version)]
    inner = [group for group in groups if group.sources != ranges.everything(version)]
    inner, pulled = _split(inner)
    layers = [Layer(group.sources, _tables([(0, (group,))])) for group in (*apart, *pulled)]
    parts = _partition(inner)
    numbers = {members: number for number, members in enumerate(dict.fromkeys(m for _, m in parts))}
    if numbers:
        members = [
            (number, [inner[index] for index in indices]) for indices, number in numbers.items()
        ]
        layers.append(Layer(None, _tables(members)))
    return Classes(version, tuple((one, numbers[m]) for one, m in parts), tuple(layers))


def _groups(allows: Iterable[Allow]) -> list[_Group]:
    groups: dict[Ranges, _Group] = {}
    for allow in allows:
        group = groups.setdefault(allow.sources, _Group(allow.sources))
        for ports, where in allow.destinations.items():
            group.reach += where
            group.entries += _entries(allow.protocols, ports, where)
    return list(groups.values())


def _entries(protocols: frozenset[int], ports: Ports, where: Ranges) -> Iterator[Entry]:
    with_ports = protocols & PORT_PROTOCOLS
    if with_ports >= {TCP, UDP}:
        with_ports -= {TCP, UDP}
        yield ports, BOTH, where
    for protocol in with_ports:
        yield ports, protocol, where
    if ports == ALL_PORTS:
        for protocol in protocols - PORT_PROTOCOLS - {ICMP, ICMPV6}:
            yield ports, protocol, where


def _split(groups: list[_Group]) -> tuple[list[_Group], list[_Group]]:
    """Set groups apart, the costliest first, until classes multiply the rest by little."""
    apart: list[_Group] = []
    total = sum(group.size() for group in groups)
    room = max(GROWTH * total, ROOM_TO_GROW + total)
    while groups:
        coverage = _coverage(groups)
        if sum(coverage) <= MAX_WORK:
            coverage = _classes_per_group(groups)
        costs = [group.size() * count for group, count in zip(groups, coverage, strict=True)]
        if sum(coverage) <= MAX_WORK and sum(costs) <= room:
            break
        order = sorted(range(len(groups)), key=lambda index: costs[index])
        drop = set(order[-max(1, len(order) // 8) :])
        apart += [group for index, group in enumerate(groups) if index in drop]
        groups = [group for index, group in enumerate(groups) if index not in drop]
    return groups, apart


def _coverage(groups: list[_Group]) -> list[int]:
    """Return into how many intervals each group's sources are cut, at most."""
    cuts = _cuts(groups)
    return [
        sum(bisect_left(cuts, last + 1) - bisect_left(cuts, first) for first, last in group.sources)
        for group in groups
    ]


def _classes_per_group(groups: list[_Group]) -> list[int]:
    counts = [0] * len(groups)
    for members in {members for _, members in _partition(groups)}:
        for index in members:
            counts[index] += 1
    return counts


def _cuts(groups: list[_Group]) -> list[int]:
    return sorted({edge for g in groups for first, last in g.sources for edge in (first, last + 1)})


def _partition(groups: list[_Group]) -> list[tuple[Range, tuple[int, ...]]]:
    """Cut the sources so that each part belongs to the same groups from end to end."""
    comes: Mapping[int, list[int]] = defaultdict(list)
    goes: Mapping[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        for first, last in group.sources:
            comes[first].append(index)
            goes[last + 1].append(index)
    parts: list[tuple[Range, tuple[int, ...]]] = []
    active: set[int] = set()
    for start, end in pairwise(_cuts(groups)):
        active.difference_update(goes.get(start, ()))
        active.update(comes.get(start, ()))
        if not active:
            continue
        members = tuple(sorted(active))
        if parts and parts[-1][1] == members and parts[-1][0].last + 1 == start:
            parts[-1] = (Range(parts[-1][0].first, end - 1), members)
        else:
            parts.append((Range(start, end - 1), members))
    return parts


def _tables(classes: Iterable[tuple[int, Iterable[_Group]]]) -> Tables:
    found: dict[str, list[Row]] = defaultdict(list)
    for number, groups in classes:
        rules: dict[int, list[tuple[Ports, Ranges]]] = defaultdict(list)
        reach: list[Range] = []
        for group in groups:
            reach += group.reach
            for ports, protocol, where in group.entries:
                rules[protocol].append((ports, where))
        found["icmp"] += _rows(number, 0, [(one, ALL_PORTS) for one in ranges.merged(reach)])
        for protocol, entries in sorted(rules.items()):
            suffix = "" if protocol == BOTH else "_by_protocol"
            whole = ranges.merged(r for p, where in entries if p == ALL_PORTS for r in where)
            some = [
                (ports, left)
                for ports, where in entries
                if ports != ALL_PORTS and (left := ranges.without(where, whole))
            ]
            found["whole" + suffix] += _rows(number, protocol, [(one, ALL_PORTS) for one in whole])
            found["ports" + suffix] += _rows(number, protocol, disjoint(some))
    return Tables(**{name: tuple(rows) for name, rows in found.items()})


def _rows(klass: int, protocol: int, boxes: Iterable[tuple[Range, Ports]]) -> list[Row]:
    return [Row(klass, protocol, addresses, ports) for addresses, ports in boxes]


def disjoint(entries: list[tuple[Ports, Ranges]]) -> list[tuple[Range, Ports]]:
    """Return the same ports at the same addresses, as boxes that do not overlap.

    What takes more than ``MAX_WORK`` steps is cut off: nobody gets more than a rule says.
    """
    boxes = [(Range(*ports), one) for ports, where in entries for one in where]
    exact = {(one, Ports(*ports)) for ports, one in boxes if _is_point(ports) and _is_point(one)}
    wide = [(ports, one) for ports, one in boxes if not (_is_point(ports) and _is_point(one))]
    turned = [(one, ports) for ports, one in wide]
    by_address = _work(turned) < _work(wide)
    chosen = turned if by_address else wide
    while (work := _work(chosen)) > MAX_WORK:
        chosen = chosen[: len(chosen) * MAX_WORK // (2 * work)]
    swept = [(side, other) for side, others in _sweep(chosen) for other in others]
    if not by_address:
        swept = [(one, ports) for ports, one in swept]
    return sorted(exact | {(one, Ports(*ports)) for one, ports in swept})


def _is_point(one: Range) -> bool:
    return one.first == one.last


def _work(boxes: list[tuple[Range, Range]]) -> int:
    """Return into how many pieces the first sides are cut, all together."""
    cuts = sorted({edge for side, _ in boxes for edge in (side.first, side.last + 1)})
    return sum(
        bisect_left(cuts, side.last + 1) - bisect_left(cuts, side.first) for side, _ in boxes
    )


def _sweep(boxes: list[tuple[Range, Range]]) -> list[tuple[Range, Ranges]]:
    """Cut the first sides wherever any begins or ends; join the others in each piece."""
    pieces: list[tuple[Range, Ranges]] = []
    comes: Mapping[int, list[int]] = defaultdict(list)
    goes: Mapping[int, list[int]] = defaultdict(list)
    for index, (side, _) in enumerate(boxes):
        comes[side.first].append(index)
        goes[side.last + 1].append(index)
    active: set[int] = set()
    for start, end in pairwise(sorted({*comes, *goes})):
        active.difference_update(goes.get(start, ()))
        active.update(comes.get(start, ()))
        joined = ranges.merged(boxes[index][1] for index in active)
        if joined and pieces and pieces[-1] == (Range(pieces[-1][0].first, start - 1), joined):
            pieces[-1] = (Range(pieces[-1][0].first, end - 1), joined)
        elif joined:
            pieces.append((Range(start, end - 1), joined))
    return pieces
