from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway.config import Flow
from appliance.gateway.conntrack import (
    CT_CUT,
    encode_mark,
    encode_name,
    encode_query,
    parse_entry,
)
from appliance.gateway.marks import CT_ENTERED, CT_THROUGH, CT_TO_US
from appliance.host.netlink import attribute, nested

# Read from Linux 6.18 while `conntrack -L` showed: udp 17 29 src=100.64.0.2 dst=192.168.1.10
# sport=49370 dport=38692 src=192.168.1.10 dst=192.168.1.1 sport=38692 dport=49370 mark=131072
ROW = bytes.fromhex(
    "02000000 34000180 14000180 08000100 64400002 08000200 c0a8010a 1c000280 05000100 11000000"
    "06000200 c0da0000 06000300 97240000 34000280 14000180 08000100 c0a8010a 08000200 c0a80101"
    "1c000280 05000100 11000000 06000200 97240000 06000300 c0da0000 08000300 0000019a 08000800"
    "00020000 08000c00 09ce8462 08000b00 00000001 08000700 0000001d"
)
FLOW = Flow(ip_address("100.64.0.2"), ip_address("192.168.1.10"), 17, 38692, answered=True)

# The same for a TCP connection over IPv6 to the machine itself, mark=262144.
ROW6 = bytes.fromhex(
    "0a000000 4c000180 2c000180 14000300 fd7a115c a1e00000 00000000 00000002 14000400 fd7a115c"
    "a1e00000 00000000 00000001 1c000280 05000100 06000000 06000200 96d40000 06000300 a36d0000"
    "4c000280 2c000180 14000300 fd7a115c a1e00000 00000000 00000001 14000400 fd7a115c a1e00000"
    "00000000 00000002 1c000280 05000100 06000000 06000200 a36d0000 06000300 96d40000 08000300"
    "0000018e 08000800 00040000 08000c00 850ab1c8 08000b00 00000001 08000700 0006977f 30000480"
    "2c000180 05000100 03000000 05000200 0a000000 05000300 0a000000 06000400 23000000 06000500"
    "23000000"
)
FLOW6 = Flow(ip_address("fd7a:115c:a1e0::2"), ip_address("fd7a:115c:a1e0::1"), 6, 41837, True)


def test_a_row_of_the_kernel_is_read() -> None:
    entry = parse_entry(ROW)
    assert entry is not None
    assert (entry.flow, entry.mark, entry.kind, entry.is_cut) == (FLOW, 0x20000, CT_THROUGH, False)
    entry = parse_entry(ROW6)
    assert entry is not None
    assert (entry.flow, entry.kind) == (FLOW6, CT_TO_US)


def test_a_connection_is_named_as_the_kernel_wrote_it() -> None:
    entry = parse_entry(ROW)
    assert entry is not None
    name = encode_name(entry)
    assert name == ROW[:4] + ROW[4:56]
    marked = encode_mark(entry, CT_CUT, CT_CUT)
    assert marked == name + bytes.fromhex("08000800 00010000 08001500 00010000")


def test_a_question_names_mark_and_mask_in_network_order() -> None:
    assert encode_query(0x20000, 0x60000) == bytes.fromhex(
        "00000000 08000800 00020000 08001500 00060000"
    )


def test_a_cut_connection_keeps_its_kind() -> None:
    for kind in (CT_THROUGH, CT_TO_US, CT_ENTERED):
        mark = (0x7F000011 | kind | CT_CUT).to_bytes(4, "big")
        entry = parse_entry(ROW.replace(bytes.fromhex("0800080000020000"), b"\x08\0\x08\0" + mark))
        assert entry is not None
        assert (entry.kind, entry.is_cut) == (kind, True)


def test_a_protocol_without_ports_has_port_0() -> None:
    ends = nested(1, [attribute(3, bytes(16)), attribute(4, bytes(15) + b"\1")])
    row = bytes(4) + nested(1, [ends, nested(2, [attribute(1, b"\x2f")])])
    entry = parse_entry(row)
    assert entry is not None
    assert entry.flow == Flow(ip_address("::"), ip_address("::1"), 47, 0, answered=False)


def test_what_is_not_ip_is_left_out() -> None:
    assert parse_entry(ROW[:4]) is None
    assert parse_entry(ROW[:30]) is None


@given(st.binary(max_size=200))
def test_whatever_the_bytes_they_are_read_without_an_exception(data: bytes) -> None:
    parse_entry(data)


@given(st.integers(0, len(ROW) - 1), st.integers(0, 255))
def test_a_damaged_row_is_read_without_an_exception(place: int, byte: int) -> None:
    parse_entry(ROW[:place] + bytes([byte]) + ROW[place + 1 :])
