from __future__ import annotations

import ipaddress
import socket
import struct

import pytest

from appliance.host import rtmessages
from appliance.host.netlink import (
    attribute,
    attribute_text,
    attribute_u32,
    nested,
    parse_attributes,
)
from appliance.host.rtmessages import (
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    RTN_THROW,
    Address,
    Link,
    Route,
    Rule,
)


@pytest.mark.parametrize(
    "route",
    [
        Route(ipaddress.ip_network("10.0.0.0/8"), 5170, protocol=76, link=7),
        Route(ipaddress.ip_network("0.0.0.0/0"), 5170, protocol=76, link=7),
        Route(ipaddress.ip_network("::/0"), 5170, protocol=76, link=7, priority=1024),
        Route(ipaddress.ip_network("192.168.1.0/24"), 5170, kind=RTN_THROW, protocol=76),
        Route(
            ipaddress.ip_network("0.0.0.0/0"), 254, link=2, gateway=ipaddress.ip_address("10.0.0.1")
        ),
    ],
)
def test_a_route_comes_back_as_it_was_written(route: Route) -> None:
    assert rtmessages.parse_route(rtmessages.encode_route(route)) == route


@pytest.mark.parametrize(
    "rule",
    [
        Rule(socket.AF_INET, 5170, FR_ACT_TO_TBL, 5170, protocol=76),
        Rule(socket.AF_INET6, 5110, FR_ACT_TO_TBL, 254, 0x80000, 0xFF0000, 76),
        Rule(socket.AF_INET, 5150, FR_ACT_UNREACHABLE, 0, 0x80000, 0xFF0000, 76),
        Rule(socket.AF_INET, 5160, FR_ACT_TO_TBL, 254, protocol=76, suppress=8),
        Rule(
            socket.AF_INET6,
            5155,
            FR_ACT_TO_TBL,
            5170,
            protocol=76,
            destination=ipaddress.ip_network("fd7a:115c:a1e0::/48"),
        ),
    ],
)
def test_a_rule_comes_back_as_it_was_written(rule: Rule) -> None:
    assert rtmessages.parse_rule(rtmessages.encode_rule(rule)) == rule


@pytest.mark.parametrize("interface", ["192.168.1.7/24", "100.64.0.1/32", "fd00::7/64"])
def test_an_address_comes_back_as_it_was_written(interface: str) -> None:
    address = Address(3, ipaddress.ip_interface(interface), 2)
    assert rtmessages.parse_address(rtmessages.encode_address(address)) == address


def test_a_link_is_read_with_its_kind_and_alias() -> None:
    row = (
        struct.pack("=BxHiII", 0, 1, 7, 0x11043, 0)
        + attribute_text(3, "latchkey0")
        + attribute_u32(4, 1280)
        + nested(18, [attribute_text(1, "tun"), attribute(2, b"data")])
        + attribute_text(20, "latchkey")
    )
    link = rtmessages.parse_link(row)
    assert link == Link(7, "latchkey0", 1280, 0x11043, "tun", "latchkey")
    assert link.is_up
    assert link.has_carrier


def test_a_real_interface_has_no_kind() -> None:
    link = rtmessages.parse_link(struct.pack("=BxHiII", 0, 1, 2, 0, 0) + attribute_text(3, "eth0"))
    assert (link.kind, link.alias, link.is_up) == (None, None, False)


def test_of_several_next_hops_the_first_counts() -> None:
    hop = struct.pack("=HBBi", 16, 0, 0, 5) + attribute(5, bytes([10, 0, 0, 1]))
    row = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + attribute(9, hop)
    route = rtmessages.parse_route(row)
    assert route is not None
    assert (route.link, str(route.gateway)) == (5, "10.0.0.1")


def test_rows_of_other_families_are_left_out() -> None:
    assert rtmessages.parse_address(struct.pack("=BBBBI", 7, 0, 0, 0, 1)) is None
    assert rtmessages.parse_route(struct.pack("=BBBBBBBBI", 28, 0, 0, 0, 0, 0, 0, 0, 0)) is None
    assert rtmessages.parse_rule(struct.pack("=BBBBBxxBI", 28, 0, 0, 0, 0, 0, 0)) is None


def test_a_deprecated_address_has_no_time_to_be_preferred_in() -> None:
    one = Address(5, ipaddress.ip_interface("fd7a:115c:a1e0::53/128"), 0x20)
    row = rtmessages.encode_address(one)
    assert struct.pack("=HHII", 20, 6, 0, 0xFFFFFFFF) in row
    assert rtmessages.parse_address(row) == one
    assert b"\xff" * 4 not in rtmessages.encode_address(Address(5, one.interface))


def test_the_address_of_this_end_counts_on_a_point_to_point_link() -> None:
    row = (
        struct.pack("=BBBBI", 2, 32, 0x80, 0, 5)
        + attribute(1, bytes([10, 9, 0, 2]))
        + attribute(2, bytes([10, 9, 0, 1]))
        + attribute_u32(8, 0x280)
    )
    expected = Address(5, ipaddress.ip_interface("10.9.0.1/32"), 0x280)
    assert rtmessages.parse_address(row) == expected


def test_a_table_beyond_255_is_read_from_its_attribute() -> None:
    header = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 252, 76, 0, 9, 0)
    route = rtmessages.parse_route(header + attribute_u32(15, 5170))
    assert route == Route(ipaddress.ip_network("0.0.0.0/0"), 5170, RTN_THROW, 76)
    rule = rtmessages.parse_rule(struct.pack("=BBBBBxxBI", 2, 0, 0, 0, 253, 1, 0))
    assert rule == Rule(socket.AF_INET, 0, FR_ACT_TO_TBL, 253)


def test_a_query_holds_only_what_the_kernel_filters_by() -> None:
    # With NETLINK_GET_STRICT_CHK any other field or attribute is refused.
    assert rtmessages.encode_link_query() == bytes(16)
    assert rtmessages.encode_address_query() == bytes(8)
    assert rtmessages.encode_rule_query(socket.AF_INET6) == bytes([10]) + bytes(11)
    query = rtmessages.encode_route_query(socket.AF_INET, 5170)
    assert query == bytes([2]) + bytes(11) + attribute_u32(15, 5170)


def test_a_new_interface_is_described_by_name_and_kind() -> None:
    payload = rtmessages.encode_new_link("latchkey0", "wireguard")
    kind = attribute(18, attribute_text(1, "wireguard"))
    assert payload == bytes(16) + attribute_text(3, "latchkey0") + kind


def test_a_name_that_is_not_utf_8_is_a_name() -> None:
    row = struct.pack("=BxHiII", 0, 1, 2, 0, 0) + attribute(3, b"w\xff\xe9z\0")
    assert rtmessages.parse_link(row).name == "w\ufffd\ufffdz"


def test_an_attribute_that_we_do_not_read_cannot_hold_us_up() -> None:
    # pyroute2's own decoder of RTA_ENCAP (22) never returns from these, alone or in a next hop.
    rest = attribute(22, b"\7") + attribute_u32(4, 2)
    header = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, 0)
    hop = struct.pack("=HBBi", 8 + len(rest), 0, 0, 5) + rest
    plain, multipath = (
        rtmessages.parse_route(header + attributes) for attributes in (rest, attribute(9, hop))
    )
    assert plain is not None
    assert plain.link == 2
    assert multipath is not None
    assert multipath.link == 5


def test_a_change_of_a_link_names_only_what_changes() -> None:
    payload = rtmessages.encode_link(7, up=True)
    assert payload == struct.pack("=BxHiII", 0, 0, 7, 1, 1)
    payload = rtmessages.encode_link(7, mtu=1280, alias="latchkey")
    assert payload[:16] == struct.pack("=BxHiII", 0, 0, 7, 0, 0)
    assert dict(parse_attributes(payload, 16)) == {4: struct.pack("=I", 1280), 20: b"latchkey\0"}
