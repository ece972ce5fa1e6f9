from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.host import dhcp

XID = 0x01020304
HARDWARE = bytes.fromhex("020000000001")
OFFER = b"\x35\x01\x02"
SERVER = b"\x36\x04\xc0\xa8\x01\x01"


def reply(options: bytes, *, op: int = 2, xid: int = XID) -> bytes:
    head = bytes((op, 1, 6, 0)) + xid.to_bytes(4, "big") + bytes(20) + HARDWARE.ljust(208, b"\0")
    return head + b"\x63\x82\x53\x63" + options


def test_the_question_is_a_broadcast_discover_from_our_own_address() -> None:
    question = dhcp.encode_discover(XID, HARDWARE)
    assert question[:8] == bytes((1, 1, 6, 0, 1, 2, 3, 4))
    assert question[10:12] == b"\x80\x00"
    assert question[28:34] == HARDWARE
    assert question[236:] == b"\x63\x82\x53\x63\x35\x01\x01\xff"


def test_an_offer_tells_its_server() -> None:
    for options in (OFFER + SERVER + b"\xff", b"\0\0" + SERVER + b"\x0c\x02hi" + OFFER):
        assert dhcp.parse_offer(reply(options), XID) == IPv4Address("192.168.1.1")


@pytest.mark.parametrize(
    "data",
    [
        reply(OFFER + SERVER, xid=XID + 1),
        reply(OFFER + SERVER, op=1),
        reply(b"\x35\x01\x05" + SERVER),
        reply(OFFER),
        reply(OFFER + SERVER[:4]),
        reply(OFFER + b"\xff" + SERVER),
        reply(b"")[:-1],
    ],
)
def test_what_is_no_offer_to_us_is_passed_over(data: bytes) -> None:
    assert dhcp.parse_offer(data, XID) is None


@given(st.binary(max_size=400))
def test_whatever_the_options_an_answer_or_none(options: bytes) -> None:
    assert dhcp.parse_offer(reply(options), XID) is None or options


async def test_an_interface_that_is_not_there_cannot_be_asked() -> None:
    with pytest.raises(OSError, match="No such device"):
        await dhcp.find_servers("lk-none")
