"""The filter's classes as nftables sets, and the chain that looks a packet up in them.

The chain is called for the first packet of a connection from the tunnel. It returns when a rule
lets the packet pass, and drops it otherwise. ``meta priority`` carries the class of the source from
one look-up to the next: nothing reads it before the packet leaves, and a source without class ends
the rule in which it is set.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.classes import Classes, Layer, Row
from appliance.gateway.filter import ICMP, ICMPV6, TCP, UDP
from appliance.gateway.ranges import Range, Ranges

ADDRESS: Final = {4: "ip", 6: "ip6"}
SET_TYPE: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
ICMP_OF: Final = {4: ICMP, 6: ICMPV6}

_FIRST_CLASS: Final = 16
"""Priorities below come from a packet's type of service."""


@dataclass(frozen=True, slots=True)
class _Lookup:
    """One set, and the rule that asks it."""

    name: str
    types: tuple[str, ...]
    keys: tuple[str, ...]
    elements: tuple[str, ...]
    interval: bool
    before: str
    """What the rule checks first."""

    def definition(self) -> list[str]:
        flags = " flags interval;" if self.interval else ""
        return [
            f"set {self.name} {{",
            f"\ttype {' . '.join(self.types)};{flags}",
            f"\telements = {{ {', '.join(self.elements)} }}",
            "}",
        ]

    def rule(self) -> str:
        return f"{self.before}{' . '.join(self.keys)} @{self.name} return"


def render_sets(classes: Classes) -> Iterator[list[str]]:
    """Write the sets of one family."""
    if classes.of_source:
        elements = ", ".join(
            f"{_range(one, classes.version)} : {_class(number)}"
            for one, number in classes.of_source
        )
        yield [
            f"map {_who(classes)} {{",
            f"\ttype {SET_TYPE[classes.version]} : classid; flags interval;",
            f"\telements = {{ {elements} }}",
            "}",
        ]
    for number, layer in enumerate(classes.layers):
        if layer.sources is not None and layer.sources != ranges.everything(classes.version):
            yield [
                f"set {_from(classes, number)} {{",
                f"\ttype {SET_TYPE[classes.version]}; flags interval;",
                f"\telements = {{ {ranges.render(layer.sources, classes.version)} }}",
                "}",
            ]
        for lookup in _lookups(classes, number, layer):
            if lookup.elements:
                yield lookup.definition()


def render_admission(classes: Classes) -> Iterator[str]:
    """Write the rules of the chain for one family."""
    yield from _stray_icmp(classes.version)
    for number, layer in enumerate(classes.layers):
        for lookup in _lookups(classes, number, layer):
            # Whatever the destination: the chain is called for ours only.
            yield lookup.rule() if lookup.elements else f"{lookup.before}return"
    yield "counter drop"


def match(version: int, side: str, addresses: Ranges) -> str:
    """Write a condition on an address; one range is compared, several are looked up."""
    text = ranges.render(addresses, version)
    return f"{ADDRESS[version]} {side} {text if len(addresses) == 1 else f'{{ {text} }}'}"


def _stray_icmp(version: int) -> Iterator[str]:
    if version == 4:
        yield "icmp type redirect drop"
    else:
        yield "icmpv6 type { nd-router-advert, nd-redirect } drop"


def _lookups(classes: Classes, number: int, layer: Layer) -> Iterator[_Lookup]:
    tables = layer.tables
    icmp, both = str(ICMP_OF[classes.version]), f"{TCP}, {UDP}"
    kinds: list[tuple[str, str, Sequence[Row]]] = [
        ("ports", both, tables.ports),
        ("whole_by_protocol", "", tables.whole_by_protocol),
        ("ports_by_protocol", "", tables.ports_by_protocol),
    ]
    if _places(tables.whole) == _places(tables.icmp):
        kinds.insert(0, ("whole", f"{icmp}, {both}", tables.whole))
    else:
        kinds = [("whole", both, tables.whole), *kinds, ("icmp", icmp, tables.icmp)]
    for kind, protocols, rows in kinds:
        for exact in (True, False):
            chosen = [row for row in rows if _is_exact(row, kind) is exact]
            if chosen:
                yield _lookup(classes, number, layer, kind, protocols, chosen, exact=exact)


def _lookup(
    classes: Classes,
    number: int,
    layer: Layer,
    kind: str,
    protocols: str,
    rows: Sequence[Row],
    *,
    exact: bool,
) -> _Lookup:
    version = classes.version
    fields = [("classid", "meta priority")] if layer.sources is None else []
    if kind.endswith("_by_protocol"):
        fields.append(("inet_proto", "meta l4proto"))
    fields.append((SET_TYPE[version], f"{ADDRESS[version]} daddr"))
    if kind.startswith("ports"):
        fields.append(("inet_service", "th dport"))
    elements = tuple(_element(row, [type_ for type_, _ in fields], version) for row in rows)
    before = f"meta nfproto ipv{version} "
    if protocols:
        one_of = f"{{ {protocols} }}" if "," in protocols else protocols
        before += f"meta l4proto {one_of} "
    everywhere = ranges.everything(version) == tuple(row.addresses for row in rows)
    return _Lookup(
        name=f"{kind}{version}_{number}" + ("" if exact else "_ranges"),
        types=tuple(type_ for type_, _ in fields),
        keys=tuple(key for _, key in fields),
        elements=() if len(fields) == 1 and everywhere else elements,
        interval=not exact,
        before=before + _source(classes, number, layer),
    )


def _source(classes: Classes, number: int, layer: Layer) -> str:
    family = ADDRESS[classes.version]
    if layer.sources is None:
        return f"meta priority set {family} saddr map @{_who(classes)} "
    if layer.sources == ranges.everything(classes.version):
        return ""
    return f"{family} saddr @{_from(classes, number)} "


def _element(row: Row, types: Iterable[str], version: int) -> str:
    first, last = row.ports
    parts = {
        "classid": _class(row.klass),
        "inet_proto": str(row.protocol),
        SET_TYPE[version]: _range(row.addresses, version),
        "inet_service": str(first) if first == last else f"{first}-{last}",
    }
    return " . ".join(parts[type_] for type_ in types)


def _is_exact(row: Row, kind: str) -> bool:
    one_port = not kind.startswith("ports") or row.ports.first == row.ports.last
    return one_port and row.addresses.first == row.addresses.last


def _places(rows: Iterable[Row]) -> list[tuple[int, Range]]:
    return [(row.klass, row.addresses) for row in rows]


def _class(number: int) -> str:
    major, minor = divmod(number + _FIRST_CLASS, 1 << 16)
    return f"{major:x}:{minor:x}"


def _who(classes: Classes) -> str:
    return f"who{classes.version}"


def _from(classes: Classes, number: int) -> str:
    return f"from{classes.version}_{number}"


def _range(one: Range, version: int) -> str:
    return ranges.render((one,), version)
