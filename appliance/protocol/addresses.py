"""Addresses as every protocol here writes them.

IPv4 travels v4-mapped where a field has 16 bytes; we unmap at once, so that the rest of the
program compares plain addresses.
"""

import ipaddress
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import NamedTuple

from appliance.protocol.errors import ProtocolError

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface


def parse_ip(text: str) -> IPAddress:
    """Read ``192.0.2.1`` or ``2001:db8::1``; anything else is a ``ProtocolError``."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise ProtocolError(f"not an IP address: {text[:60]!r}") from None


def parse_network(text: str) -> IPNetwork:
    """Read ``192.0.2.0/24`` (a bare address is a network of one); host bits are refused."""
    try:
        return ipaddress.ip_network(text, strict=True)
    except ValueError as error:
        raise ProtocolError(f"not an IP network: {text[:60]!r} ({error})") from None


def ip_from_16(raw: bytes) -> IPAddress:
    """Read 16 bytes, unmapping ``::ffff:a.b.c.d``."""
    if len(raw) != 16:
        raise ProtocolError(f"an address field has 16 bytes, not {len(raw)}")
    address = IPv6Address(raw)
    return address.ipv4_mapped or address


def ip_to_16(address: IPAddress) -> bytes:
    """Write 16 bytes, mapping IPv4 to ``::ffff:a.b.c.d``."""
    if isinstance(address, IPv4Address):
        return b"\0" * 10 + b"\xff\xff" + address.packed
    return address.packed


class AddrPort(NamedTuple):
    """An IP address and a UDP or TCP port."""

    ip: IPAddress
    port: int

    @classmethod
    def parse(cls, text: str) -> "AddrPort":
        """Read ``1.2.3.4:567`` or ``[2001:db8::1]:567``; anything else is a ``ProtocolError``."""
        host, colon, port_text = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ProtocolError(f"not an address and port: {text[:60]!r}")
        if not colon or not port_text.isascii() or not port_text.isdigit():
            raise ProtocolError(f"not an address and port: {text[:60]!r}")
        port = int(port_text) if len(port_text) <= 5 else 65536
        if port > 65535:
            raise ProtocolError(f"port out of range: {text[:60]!r}")
        return cls(parse_ip(host), port)

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if self.ip.version == 6 else f"{self.ip}:{self.port}"
