from __future__ import annotations

import ipaddress
import time

from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway import classes as under_test
from appliance.gateway.classes import BOTH, Classes, Row, classify, disjoint
from appliance.gateway.filter import (
    ALL_PORTS,
    DEFAULT_PROTOCOLS,
    MAX_ELEMENTS,
    PORT_PROTOCOLS,
    Allow,
    Ports,
    parse_filter,
)
from appliance.gateway.ranges import Range, Ranges, everything, merged
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange

NUMBER = st.integers(0, 20)
RANGES = st.lists(
    st.tuples(NUMBER, NUMBER).map(lambda ends: Range(min(ends), max(ends))), min_size=1, max_size=3
).map(merged)
PORTS = st.sampled_from([Ports(1, 1), Ports(2, 2), Ports(1, 3), Ports(2, 65535), ALL_PORTS])
ALLOWS = st.lists(
    st.builds(
        Allow,
        version=st.just(4),
        sources=RANGES | st.just(everything(4)),
        destinations=st.dictionaries(PORTS, RANGES, min_size=1, max_size=3),
        protocols=st.just(DEFAULT_PROTOCOLS) | st.frozensets(st.sampled_from([1, 6, 17, 47, 132])),
    ),
    max_size=6,
)


def has(ranges: Ranges, number: int) -> bool:
    return any(first <= number <= last for first, last in ranges)


def plainly(
    allows: list[Allow], source: int, destination: int, protocol: int, port: int | None
) -> bool:
    """The plain reading: ICMP wherever anything is open, other protocols by all ports alone."""
    for allow in allows:
        if not has(allow.sources, source):
            continue
        for ports, where in allow.destinations.items():
            if not has(where, destination):
                continue
            if protocol == 1:
                return True
            fits = ports == ALL_PORTS if port is None else ports.first <= port <= ports.last
            if protocol in allow.protocols and fits:
                return True
    return False


def looked_up(
    classes: Classes, source: int, destination: int, protocol: int, port: int | None
) -> bool:
    """What the kernel does with the tables."""
    mine = [klass for (first, last), klass in classes.of_source if first <= source <= last]
    assert len(mine) <= 1
    for layer in classes.layers:
        if layer.sources is None:
            if not mine:
                continue
            [klass] = mine
        elif has(layer.sources, source):
            klass = 0
        else:
            continue
        tables = layer.tables
        rows = tables.icmp if protocol == 1 else ()
        if protocol in (6, 17):
            rows += tables.whole + tables.ports
        with_protocol = tables.whole_by_protocol
        with_protocol += tables.ports_by_protocol if port is not None else ()
        for row in (*rows, *(row for row in with_protocol if row.protocol == protocol)):
            in_ports = port is None or protocol == 1 or row.ports.first <= port <= row.ports.last
            inside = row.addresses.first <= destination <= row.addresses.last
            if row.klass == klass and inside and in_ports:
                return True
    return False


PACKETS = st.tuples(NUMBER, NUMBER, st.sampled_from([1, 6, 17, 47, 132]), st.integers(0, 5))


@given(ALLOWS, st.lists(PACKETS, min_size=1, max_size=20))
def test_tables_allow_exactly_what_a_plain_reading_does(
    allows: list[Allow], packets: list[tuple[int, int, int, int]]
) -> None:
    classes = classify(allows, 4)
    for source, destination, protocol, number in packets:
        port = number if protocol in PORT_PROTOCOLS else None
        packet = (source, destination, protocol, port)
        assert looked_up(classes, *packet) == plainly(allows, *packet), packet


@given(ALLOWS)
def test_rows_of_a_table_never_overlap(allows: list[Allow]) -> None:
    for layer in classify(allows, 4).layers:
        tables = layer.tables
        for rows in (
            tables.whole,
            tables.ports,
            tables.whole_by_protocol,
            tables.ports_by_protocol,
            tables.icmp,
        ):
            wide = [row for row in rows if not is_point(row)]
            for table in (wide, [row for row in rows if is_point(row)]):
                assert not any(
                    overlap(one, other) for n, one in enumerate(table) for other in table[:n]
                )


def is_point(row: Row) -> bool:
    return row.addresses.first == row.addresses.last and row.ports.first == row.ports.last


def overlap(one: Row, other: Row) -> bool:
    return (
        (one.klass, one.protocol) == (other.klass, other.protocol)
        and one.addresses.first <= other.addresses.last
        and other.addresses.first <= one.addresses.last
        and one.ports.first <= other.ports.last
        and other.ports.first <= one.ports.last
    )


def rule(sources: tuple[str, ...], *destinations: tuple[str, int]) -> FilterRule:
    return FilterRule(
        src_ips=sources,
        dst_ports=tuple(
            NetPortRange(ip=ip, ports=PortRange(first=port, last=port)) for ip, port in destinations
        ),
    )


def size(classes: Classes) -> int:
    return len(classes.of_source) + sum(
        len(layer.tables.whole) + len(layer.tables.ports) + len(layer.tables.icmp)
        for layer in classes.layers
    )


def address(number: int) -> str:
    return str(ipaddress.IPv4Address((10 << 24) + 3 * number))


def test_a_thousand_rules_are_one_look_up() -> None:
    rules = [
        rule((address(n), address(n + 1)), *((address(10 * n + k), 80 + n + k) for k in range(10)))
        for n in range(1000)
    ]
    [layer] = classify(parse_filter(rules).allows, 4).layers
    assert layer.sources is None


def test_rules_for_everybody_do_not_multiply_by_classes() -> None:
    everybody = rule(("*",), *((address(n), 443) for n in range(3000)))
    each = [rule((address(n),), (address(n), 22)) for n in range(500)]
    classes = classify(parse_filter([everybody, *each]).allows, 4)
    assert len(classes.layers) == 2
    assert size(classes) < 10_000


def test_a_filter_made_to_multiply_stays_small_and_quick() -> None:
    """Each rule's sources and destinations overlap the next one's."""
    rules = [
        FilterRule(
            src_ips=tuple(address(n + k) for k in range(0, 400, 4)),
            dst_ports=tuple(
                NetPortRange(ip=address(n + k), ports=PortRange(first=k + 1, last=k + 900))
                for k in range(25)
            ),
        )
        for n in range(400)
    ]
    allows, ignored = parse_filter(rules)
    assert ignored == 0
    assert sum(len(r.src_ips or ()) + len(r.dst_ports or ()) for r in rules) <= MAX_ELEMENTS
    began = time.monotonic()
    classes = classify(allows, 4)
    print(f"{size(classes)} rows in {time.monotonic() - began:.1f} s")
    assert size(classes) < 8 * MAX_ELEMENTS


def test_too_much_to_take_apart_is_cut_off_instead_of_allowed() -> None:
    nested = [(Ports(n, 60_000 - n), (Range(n, 100_000 - n),)) for n in range(1, 2000)]
    boxes = disjoint(nested)
    assert 0 < len(boxes) <= under_test.MAX_WORK
    for one, ports in boxes[:50]:
        assert any(
            p.first <= ports.first <= ports.last <= p.last
            and w.first <= one.first <= one.last <= w.last
            for p, (w,) in nested
        )


def test_tcp_and_udp_together_take_one_row() -> None:
    classes = classify(parse_filter([rule(("100.64.0.2",), (address(1), 80))]).allows, 4)
    [layer] = classes.layers
    assert [row.protocol for row in layer.tables.ports] == [BOTH]
    assert layer.tables.ports_by_protocol == ()
