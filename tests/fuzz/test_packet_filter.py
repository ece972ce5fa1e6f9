"""Packet filter rules: one allows exactly what a plain reading of it allows, whatever it holds."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway.filter import DEFAULT_PROTOCOLS, parse_filter
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange

V4 = st.integers(0, 15).map(lambda n: str(ipaddress.IPv4Address((100 << 24) + n)))
V6 = st.integers(0, 15).map(lambda n: str(ipaddress.IPv6Address((0xFD << 120) + n)))
PREFIX = st.tuples(st.integers(0, 3), st.sampled_from([30, 31, 32])).map(
    lambda pair: str(ipaddress.ip_network(((100 << 24) + 4 * pair[0], pair[1])))
)
RANGE = st.tuples(V4 | V6, V4 | V6).map("-".join)
JUNK = st.sampled_from(["", "cap:x", "printer", "100.0.0.1/24", "1-2-3", "} accept #", "::%1"])
ADDRESSES = V4 | V6 | PREFIX | RANGE | JUNK | st.just("*")
PORT = st.sampled_from([-1, 0, 1, 2, 3, 65535, 65536])
RULES = st.lists(
    st.builds(
        FilterRule,
        src_ips=st.lists(ADDRESSES, max_size=3).map(tuple),
        dst_ports=st.lists(
            st.builds(
                NetPortRange, ip=ADDRESSES, ports=st.builds(PortRange, first=PORT, last=PORT)
            ),
            max_size=3,
        ).map(tuple),
        ip_proto=st.none()
        | st.lists(st.sampled_from([-1, 1, 6, 17, 58, 300]), max_size=3).map(tuple),
    ),
    max_size=3,
)


def covers(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """The plain reading of one entry."""
    if text == "*":
        return True
    try:
        if text.count("-") == 1:
            first, last = map(ipaddress.ip_address, text.split("-"))
            return first.version == last.version == address.version and first <= address <= last
        return "%" not in text and address in ipaddress.ip_network(text)
    except ValueError:
        return False


def plainly_allowed(
    rule: FilterRule, source: str, destination: str, protocol: int, port: int
) -> bool:
    """The plain reading of one rule, for protocols with ports."""
    protocols = rule.ip_proto or DEFAULT_PROTOCOLS
    return (
        protocol in protocols
        and any(covers(text, ipaddress.ip_address(source)) for text in rule.src_ips or ())
        and any(
            covers(entry.ip, ipaddress.ip_address(destination))
            and 0 <= entry.ports.first <= port <= entry.ports.last <= 65535
            for entry in rule.dst_ports or ()
        )
    )


@given(
    RULES,
    st.tuples(V4, V4) | st.tuples(V6, V6),
    st.sampled_from([6, 17]),
    st.sampled_from([0, 1, 2, 3, 65535]),
)
def test_a_packet_is_allowed_when_a_plain_reading_allows_it(
    rules: list[FilterRule], ends: tuple[str, str], protocol: int, port: int
) -> None:
    source, destination = (int(ipaddress.ip_address(end)) for end in ends)
    version = ipaddress.ip_address(ends[0]).version
    found = any(
        allow.version == version
        and protocol in allow.protocols
        and any(first <= source <= last for first, last in allow.sources)
        and any(
            ports.first <= port <= ports.last and first <= destination <= last
            for ports, ranges in allow.destinations.items()
            for first, last in ranges
        )
        for allow in parse_filter(rules).allows
    )
    assert found == any(plainly_allowed(rule, *ends, protocol, port) for rule in rules)
