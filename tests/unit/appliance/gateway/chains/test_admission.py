from __future__ import annotations

from appliance.gateway.chains.admission import match, render_admission, render_sets
from appliance.gateway.classes import classify
from appliance.gateway.filter import parse_filter
from appliance.gateway.ranges import Range
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange


def rule(
    source: str, destination: str, first: int, last: int, protocols: tuple[int, ...] = ()
) -> FilterRule:
    return FilterRule(
        src_ips=(source,),
        dst_ports=(NetPortRange(ip=destination, ports=PortRange(first=first, last=last)),),
        ip_proto=protocols or None,
    )


def rendered(*rules: FilterRule) -> tuple[str, list[str]]:
    """The sets and the rules of IPv4."""
    classes = classify(parse_filter(rules).allows, 4)
    sets = "\n".join(line for block in render_sets(classes) for line in block)
    return sets, list(render_admission(classes))[1:]


def test_a_source_is_looked_up_for_its_class_and_the_class_for_what_it_may() -> None:
    sets, rules = rendered(rule("100.64.0.2", "10.0.0.1", 80, 80))
    assert "elements = { 100.64.0.2 : 0:10 }" in sets
    assert "elements = { 0:10 . 10.0.0.1 . 80 }" in sets
    assert rules == [
        "meta nfproto ipv4 meta l4proto { 6, 17 } meta priority set ip saddr map @who4 "
        "meta priority . ip daddr . th dport @ports4_0 return",
        "meta nfproto ipv4 meta l4proto 1 meta priority set ip saddr map @who4 "
        "meta priority . ip daddr @icmp4_0 return",
        "counter drop",
    ]


def test_ranges_have_a_table_of_their_own() -> None:
    sets, _ = rendered(
        rule("100.64.0.2", "10.0.0.1", 80, 80), rule("100.64.0.2", "10.0.0.1", 90, 99)
    )
    assert "set ports4_0 {" in sets
    assert "set ports4_0_ranges {\n\ttype classid . ipv4_addr . inet_service; flags" in sets
    assert "0:10 . 10.0.0.1 . 90-99" in sets


def test_who_may_everything_is_not_looked_up() -> None:
    sets, rules = rendered(rule("*", "*", 0, 65535))
    assert sets == ""
    assert rules == ["meta nfproto ipv4 meta l4proto { 1, 6, 17 } return", "counter drop"]


def test_protocols_that_are_named_are_looked_up_too() -> None:
    sets, _ = rendered(rule("100.64.0.2", "10.0.0.0/24", 0, 65535, (6, 47)))
    assert "0:10 . 47 . 10.0.0.0-10.0.0.255" in sets
    assert "0:10 . 6 . 10.0.0.0-10.0.0.255" in sets


def test_one_range_is_compared_and_several_are_looked_up() -> None:
    assert match(4, "daddr", (Range(1, 1),)) == "ip daddr 0.0.0.1"
    assert match(6, "saddr", (Range(1, 1), Range(3, 4))) == "ip6 saddr { ::1, ::3-::4 }"
