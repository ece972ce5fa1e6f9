from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway import filter as packet_filter
from appliance.gateway.filter import ALL_PORTS, Allow, Ports, parse_filter
from appliance.gateway.ranges import Range, everything
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange


def rule(
    sources: tuple[str, ...], *destinations: tuple[str, int, int], protocols: tuple[int, ...] = ()
) -> FilterRule:
    return FilterRule(
        src_ips=sources,
        dst_ports=tuple(
            NetPortRange(ip=ip, ports=PortRange(first=first, last=last))
            for ip, first, last in destinations
        ),
        ip_proto=protocols or None,
    )


def one(address: str) -> tuple[Range, ...]:
    number = int(ipaddress.ip_address(address))
    return (Range(number, number),)


def test_a_star_is_everything_in_both_families() -> None:
    allows, ignored = parse_filter([rule(("*",), ("*", 0, 65535))])
    assert ignored == 0
    assert allows == tuple(
        Allow(v, everything(v), {ALL_PORTS: everything(v)}, frozenset({1, 6, 17, 58}))
        for v in (4, 6)
    )


def test_destinations_are_grouped_by_their_ports() -> None:
    [allow], _ = parse_filter(
        [rule(("100.64.0.2",), ("10.0.0.1", 80, 80), ("10.0.0.2", 80, 80), ("10.0.0.9", 1, 2))]
    )
    first = int(ipaddress.ip_address("10.0.0.1"))
    assert allow.destinations == {
        Ports(80, 80): (Range(first, first + 1),),
        Ports(1, 2): one("10.0.0.9"),
    }


def test_a_family_without_source_or_destination_allows_nothing() -> None:
    allows, ignored = parse_filter([rule(("100.64.0.2",), ("fd00::1", 0, 65535))])
    assert (allows, ignored) == ((), 0)


def test_what_cannot_be_read_is_left_out_and_counted() -> None:
    allows, ignored = parse_filter(
        [
            rule(("100.64.0.2", "nonsense", "10.0.0.1/8"), ("10.0.0.1", 80, 80)),
            rule(("*",), ("10.0.0.1", 90, 80), ("10.0.0.1", -1, 80), ("10.0.0.1", 80, 70000)),
            rule(("nonsense",), ("*", 0, 65535)),
        ]
    )
    assert ignored == 6
    assert [(allow.sources, allow.destinations) for allow in allows] == [
        (one("100.64.0.2"), {Ports(80, 80): one("10.0.0.1")})
    ]


def test_capabilities_are_no_network_access() -> None:
    allows, ignored = parse_filter(
        [rule(("cap:is-admin",), ("*", 0, 65535)), FilterRule(src_ips=("*",))]
    )
    assert (allows, ignored) == ((), 0)


def test_protocol_numbers_out_of_range_do_not_widen_a_rule() -> None:
    [allow, _], _ = parse_filter([rule(("*",), ("*", 0, 65535), protocols=(256, -1, 300))])
    assert allow.protocols == frozenset()
    [allow, _], _ = parse_filter([rule(("*",), ("*", 0, 65535), protocols=(6, 999))])
    assert allow.protocols == {6}


def test_more_than_we_can_load_is_left_out() -> None:
    many = tuple(str(ipaddress.ip_address(n)) for n in range(packet_filter.MAX_ELEMENTS))
    allows, ignored = parse_filter(
        [rule(("100.64.0.1",), ("10.0.0.1", 1, 1)), rule(many, ("10.0.0.2", 1, 1))]
    )
    assert len(allows) == 1
    assert ignored == 1


@given(
    st.lists(
        st.builds(
            FilterRule,
            src_ips=st.none() | st.lists(st.text(max_size=20), max_size=4).map(tuple),
            dst_ports=st.none()
            | st.lists(
                st.builds(
                    NetPortRange,
                    ip=st.text(max_size=20) | st.just("*"),
                    ports=st.builds(PortRange, first=st.integers(), last=st.integers()),
                ),
                max_size=4,
            ).map(tuple),
            ip_proto=st.none() | st.lists(st.integers(), max_size=4).map(tuple),
        ),
        max_size=4,
    )
)
def test_whatever_the_rules_they_are_read_without_an_exception(rules: list[FilterRule]) -> None:
    allows, _ = parse_filter(rules)
    assert all(allow.sources and allow.destinations for allow in allows)
