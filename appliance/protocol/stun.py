"""STUN: a server tells a node the address its UDP datagrams come from.

Header:     type (2) | length of the attributes (2) | cookie 21 12 a4 42 | transaction ID (12)
Attributes: type (2) | length (2) | value, padded to 4 bytes

Request (always 40 bytes): type 0001, SOFTWARE "tailnode", FINGERPRINT last. The node sends it
from its WireGuard port, so that the answer names the address peers can use.
Answer (32 or 44 bytes): type 0101, XOR-MAPPED-ADDRESS only. It is never longer than a request
by more than 4 bytes, so a relay is of no use for reflecting traffic at a victim.

Source: RFC 5389, sections 6 and 15; tailscale net/stun/stun.go, 2026-08. Pure: the caller
supplies the transaction ID.
"""

from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.errors import ProtocolError

COOKIE: Final = b"\x21\x12\xa4\x42"
TX_ID_SIZE: Final = 12
HEADER_SIZE: Final = 20
REQUEST_SIZE: Final = 40

_REQUEST: Final = b"\x00\x01"
_RESPONSE: Final = b"\x01\x01"
_MAPPED_ADDRESS: Final = 0x0001
_XOR_MAPPED_ADDRESS: Final = 0x0020
_XOR_MAPPED_ADDRESS_ALT: Final = 0x8020  # not in the RFC, but some servers send it
_SOFTWARE: Final = 0x8022
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_SIZE: Final = 8  # with its attribute header
_FINGERPRINT_XOR: Final = 0x5354554E
_SOFTWARE_NAME: Final = b"tailnode"


@dataclass(frozen=True, slots=True)
class Response:
    """The address a server saw us at, for the request with this transaction ID."""

    tx_id: bytes
    address: AddrPort


def is_stun(datagram: bytes | memoryview) -> bool:
    """Tell STUN from WireGuard and DISCO by its top two bits, length and cookie."""
    return len(datagram) >= HEADER_SIZE and datagram[0] < 0x40 and datagram[4:8] == COOKIE


def encode_request(tx_id: bytes) -> bytes:
    """Write the 40 bytes stock servers insist on; 12 random bytes are the transaction ID."""
    head = _REQUEST + (REQUEST_SIZE - HEADER_SIZE).to_bytes(2) + COOKIE + tx_id
    head += _encode_attribute(_SOFTWARE, _SOFTWARE_NAME)
    return head + _encode_attribute(_FINGERPRINT, _fingerprint(head))


def parse_request(datagram: bytes) -> bytes:
    """Return the transaction ID of a node's request; anything else is a ``ProtocolError``."""
    if not is_stun(datagram) or datagram[:2] != _REQUEST:
        raise ProtocolError("not a STUN binding request")
    attributes = list(_parse_attributes(datagram[HEADER_SIZE:]))
    if (_SOFTWARE, _SOFTWARE_NAME) not in attributes:
        raise ProtocolError("this STUN request is not from a node")
    if attributes[-1] != (_FINGERPRINT, _fingerprint(datagram[:-_FINGERPRINT_SIZE])):
        raise ProtocolError("this STUN request does not end in a valid fingerprint")
    return datagram[8:HEADER_SIZE]


def encode_response(tx_id: bytes, address: AddrPort) -> bytes:
    """Write the answer; IPv4 that arrived on an IPv6 socket is to be unmapped by the caller."""
    packed = address.ip.packed
    family = 1 if len(packed) == 4 else 2
    value = bytes((0, family)) + (address.port ^ 0x2112).to_bytes(2) + _xor(packed, tx_id)
    attribute = _encode_attribute(_XOR_MAPPED_ADDRESS, value)
    return _RESPONSE + len(attribute).to_bytes(2) + COOKIE + tx_id + attribute


def parse_response(datagram: bytes) -> Response:
    """Read any server's success response; anything else is a ``ProtocolError``."""
    if not is_stun(datagram) or datagram[:2] != _RESPONSE:
        raise ProtocolError("not a STUN success response")
    tx_id = datagram[8:HEADER_SIZE]
    end = HEADER_SIZE + int.from_bytes(datagram[2:4])
    if end > len(datagram):
        raise ProtocolError("this STUN response is cut short")
    exact: AddrPort | None = None
    fallback: AddrPort | None = None
    for kind, value in _parse_attributes(datagram[HEADER_SIZE:end]):
        if kind in (_XOR_MAPPED_ADDRESS, _XOR_MAPPED_ADDRESS_ALT):
            exact = _parse_xor_address(value, tx_id)
        elif kind == _MAPPED_ADDRESS:
            fallback = _parse_address(value)
    address = exact or fallback
    if address is None:
        raise ProtocolError("this STUN response names no address")
    return Response(tx_id, address)


def _fingerprint(head: bytes) -> bytes:
    return (crc32(head) ^ _FINGERPRINT_XOR).to_bytes(4)


def _xor(packed: bytes, tx_id: bytes) -> bytes:
    """Mask or unmask an address with cookie and transaction ID."""
    mask = COOKIE + tx_id
    return bytes(byte ^ mask[i] for i, byte in enumerate(packed))


def _encode_attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + len(value).to_bytes(2) + value


def _parse_attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        kind, size = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        start, at = at + 4, at + 4 + (size + 3 & ~3)
        if at > len(data):
            raise ProtocolError("a STUN attribute is cut short")
        yield kind, data[start : start + size]


def _parse_address(value: bytes) -> AddrPort:
    if len(value) >= 8 and value[1] == 1:
        return AddrPort(IPv4Address(value[4:8]), int.from_bytes(value[2:4]))
    if len(value) >= 20 and value[1] == 2:
        return AddrPort(_unmapped(value[4:20]), int.from_bytes(value[2:4]))
    raise ProtocolError("a STUN address has an unknown family or is cut short")


def _parse_xor_address(value: bytes, tx_id: bytes) -> AddrPort:
    port = (int.from_bytes(value[2:4]) ^ 0x2112).to_bytes(2)
    return _parse_address(value[:2] + port + _xor(value[4:20], tx_id))


def _unmapped(packed: bytes) -> IPAddress:
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
