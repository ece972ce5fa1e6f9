import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import MAGIC
from appliance.protocol.stun import COOKIE
from appliance.underlay.rawsocket import (
    WirePort,
    disco_and_stun_filter,
    encode_segment,
    ones_complement,
    parse_datagram,
)
from tests.support.underlay import PORT, address, needs_root

STUN = b"\x01\x01\x00\x0c" + COOKIE + bytes(24)
DISCO = MAGIC + bytes(118)


def accepts(packet: bytes, *, ipv6: bool, port: int = PORT) -> bool:
    """Run the filter as the kernel would; a load outside the packet drops it."""
    program = disco_and_stun_filter(port, ipv6=ipv6)
    accumulator = index = at = 0
    try:
        while True:
            code, if_true, if_false, constant = program[at]
            at += 1
            match code:
                case 0x01:
                    index = constant
                case 0xB1:
                    index = 4 * (packet[constant] & 15)
                case 0x48:
                    accumulator = struct.unpack_from(">H", packet, index + constant)[0]
                case 0x40:
                    accumulator = struct.unpack_from(">I", packet, index + constant)[0]
                case 0x15:
                    at += if_true if accumulator == constant else if_false
                case 0x06:
                    return constant > 0
    except (struct.error, IndexError):
        return False


def delivered(payload: bytes, *, ipv6: bool, port: int = PORT, options: bytes = b"") -> bytes:
    """What a raw socket gives for a datagram from port 5."""
    udp = struct.pack(">HHHH", 5, port, 8 + len(payload), 0) + payload
    if ipv6:
        return udp
    return bytes([0x45 + len(options) // 4]) + bytes(19) + options + udp


@pytest.mark.parametrize("ipv6", [False, True])
def test_disco_and_stun_answers_for_our_port_pass(ipv6: bool) -> None:
    assert accepts(delivered(DISCO, ipv6=ipv6), ipv6=ipv6)
    assert accepts(delivered(STUN, ipv6=ipv6), ipv6=ipv6)


@pytest.mark.parametrize("ipv6", [False, True])
def test_those_for_other_ports_do_not(ipv6: bool) -> None:
    assert not accepts(delivered(DISCO, ipv6=ipv6, port=PORT + 1), ipv6=ipv6)
    assert not accepts(delivered(STUN, ipv6=ipv6, port=PORT + 1), ipv6=ipv6)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_wireguard_does_not_pass_even_with_the_cookie_for_an_index(kind: int, ipv6: bool) -> None:
    for index in (bytes(4), COOKIE, MAGIC[:4]):
        message = bytes([kind, 0, 0, 0]) + index + bytes(100)
        assert not accepts(delivered(message, ipv6=ipv6), ipv6=ipv6)


@pytest.mark.parametrize("payload", [b"", b"T", MAGIC[:5], MAGIC[:5] + b"x" + bytes(60), STUN[:7]])
@pytest.mark.parametrize("ipv6", [False, True])
def test_what_is_cut_short_or_nearly_right_does_not_pass(payload: bytes, ipv6: bool) -> None:
    assert not accepts(delivered(payload, ipv6=ipv6), ipv6=ipv6)


def test_a_stun_request_does_not_pass() -> None:
    request = b"\x00\x01" + STUN[2:]
    assert not accepts(delivered(request, ipv6=False), ipv6=False)


def test_ip_options_are_skipped() -> None:
    packet = delivered(DISCO, ipv6=False, options=bytes(8))
    assert accepts(packet, ipv6=False)
    assert parse_datagram(packet, ipv6=False) == (5, DISCO)


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused_without_an_error(data: bytes, ipv6: bool) -> None:
    parsed = parse_datagram(data, ipv6=ipv6)
    assert parsed is None or len(parsed[1]) <= len(data)


def test_a_segment_is_read_back() -> None:
    segment = encode_segment(address("192.0.2.1:7"), address("192.0.2.2:9"), b"hello")
    assert parse_datagram(segment, ipv6=True) == (7, b"hello")


def test_the_checksum_example_of_rfc_1071() -> None:
    assert ones_complement(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_checksum_and_data_add_up_to_all_ones(data: bytes) -> None:
    even = data + b"\0" * (len(data) % 2)
    words = struct.unpack(f">{len(even) // 2}H", even)
    total = sum(words) + ones_complement(data)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


@pytest.mark.parametrize(
    ("source", "to"),
    [
        (address("192.0.2.1:7"), address("198.51.100.2:9")),
        (AddrPort(IPv6Address("2001:db8::1"), 7), AddrPort(IPv6Address("2001:db8::2"), 9)),
    ],
)
def test_a_segment_and_its_pseudo_header_add_up_to_all_ones(source: AddrPort, to: AddrPort) -> None:
    segment = encode_segment(source, to, b"some payload!")
    pseudo = source.ip.packed + to.ip.packed
    pseudo += struct.pack(">HH" if source.ip.version == 4 else ">II", *_tail(segment, source))
    assert ones_complement(pseudo + segment) == 0xFFFF


def _tail(segment: bytes, source: AddrPort) -> tuple[int, int]:
    return (17, len(segment)) if source.ip.version == 4 else (len(segment), 17)


async def test_a_closed_port_sends_nothing() -> None:
    wire = WirePort(lambda *_: None)
    assert not wire.is_open
    assert not wire.send(address("192.0.2.1"), b"x")
    wire.close()


@needs_root
async def test_nothing_is_sent_into_the_tailnet() -> None:
    wire = WirePort(lambda *_: None)
    wire.open(PORT, 0)
    assert not wire.send(address("100.64.0.1"), b"x")
    wire.close()


async def test_the_way_to_ourselves_starts_at_ourselves() -> None:
    wire = WirePort(lambda *_: None)
    assert wire.source_for(IPv4Address("127.0.0.1")) == IPv4Address("127.0.0.1")
    assert wire.source_for(IPv6Address("::1")) == IPv6Address("::1")
