from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host.errors import NetlinkError
from appliance.host.netlink import (
    NETLINK_ROUTE,
    Message,
    NetlinkSocket,
    attribute,
    attribute_text,
    attribute_u8,
    attribute_u16,
    attribute_u32,
    nested,
    number,
    parse_attributes,
    parse_error,
    parse_messages,
    text,
)
from appliance.host.rtmessages import RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, encode_link_query

LINK_QUERY = struct.pack("=BxHiII", 0, 0, 1, 0, 0)  # the loopback interface


def test_attributes_are_padded_to_four_bytes() -> None:
    assert attribute_u8(1, 7) == bytes.fromhex("0500 0100 07 000000")
    assert attribute_u16(2, 7) == bytes.fromhex("0600 0200 0700 0000")
    assert attribute_u32(3, 7) == bytes.fromhex("0800 0300 07000000")
    assert attribute_text(4, "lo") == bytes.fromhex("0700 0400 6c6f00 00")
    assert nested(5, [attribute_u8(1, 7)]) == bytes.fromhex("0c00 0580 0500 0100 07 000000")


def test_attributes_come_back_in_their_order_without_the_nested_bit() -> None:
    data = attribute_text(3, "eth0") + nested(5, [attribute_u32(1, 9)]) + attribute_u8(3, 1)
    [name, inner, again] = parse_attributes(data)
    assert (name[0], text(name[1])) == (3, "eth0")
    assert inner[0] == 5
    assert [(kind, number(value)) for kind, value in parse_attributes(inner[1])] == [(1, 9)]
    assert again == (3, b"\1")


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=5))
def test_what_is_encoded_is_read_back(pairs: list[tuple[int, bytes]]) -> None:
    data = b"".join(attribute(kind, value) for kind, value in pairs)
    assert list(parse_attributes(data)) == pairs


@given(st.binary(max_size=200))
def test_whatever_the_bytes_reading_ends_within_them(data: bytes) -> None:
    assert sum(4 + len(value) for _, value in parse_attributes(data)) <= len(data)
    assert sum(16 + len(payload) for *_, payload in parse_messages(data)) <= len(data)


def test_the_kernels_words_are_part_of_the_error() -> None:
    said = attribute_text(1, "Unknown device type")
    payload = struct.pack("=i", -errno.EOPNOTSUPP) + bytes(16) + said
    error = parse_error(0x200, payload)
    assert error is not None
    assert error.errno == errno.EOPNOTSUPP
    assert str(error) == "Operation not supported: Unknown device type"
    assert parse_error(0, struct.pack("=i", 0) + bytes(16)) is None


def test_the_real_kernel_answers_a_request_and_a_dump() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        [loopback] = netlink.request(RTM_GETLINK, LINK_QUERY)
        assert text(dict(parse_attributes(loopback, 16))[3]) == "lo"
        rows = netlink.dump(RTM_GETLINK, encode_link_query())
        assert b"lo\0" in b"".join(rows)


def test_each_of_several_requests_gets_its_own_outcome() -> None:
    no_such_link = struct.pack("=BxHiII", 0, 0, 999_999_999, 0, 0)
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        results = netlink.request_all(
            [
                Message(RTM_GETLINK, 0, LINK_QUERY),
                Message(RTM_DELLINK, 0, no_such_link),
                Message(RTM_GETLINK, 0, LINK_QUERY),
            ]
        )
        assert [error and error.errno for error in results] in (
            [None, errno.ENODEV, None],
            [None, errno.EPERM, None],
        )
        assert netlink.request_all([]) == []


def test_a_refused_request_raises_and_the_socket_goes_on() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        with pytest.raises(NetlinkError):
            netlink.request(RTM_NEWLINK, struct.pack("=BxHiII", 0, 0, 999_999_999, 0, 0))
        assert netlink.request(RTM_GETLINK, LINK_QUERY)


def test_more_requests_than_fit_at_once_are_carried_out_in_batches() -> None:
    with NetlinkSocket(NETLINK_ROUTE) as netlink:
        assert netlink.request_all([Message(RTM_GETLINK, 0, LINK_QUERY)] * 2000) == [None] * 2000
