"""Packet filter rules as the coordinator sends them.

Addresses stay text here (``*``, one address, CIDR, range, ``cap:``); ``netmap.filter`` gives them
meaning and skips what it cannot read, as the reference does.

Source: tailscale tailcfg/tailcfg.go (FilterRule), 2026-08.
"""

from typing import Any, Final

import msgspec

from appliance.protocol.tailcfg.codec import Message, Network


class PortRange(Message, frozen=True, kw_only=True, omit_defaults=False):
    """An inclusive range of ports."""

    first: int = 0
    last: int = 65535


ANY_PORT: Final = PortRange()


class NetPortRange(Message, frozen=True, kw_only=True, omit_defaults=False):
    """A destination: addresses and ports (absent ports would read as port 0)."""

    ip: str = msgspec.field(name="IP")
    ports: PortRange = ANY_PORT


class CapGrant(Message, frozen=True, kw_only=True):
    """Application capabilities that the sources have at the destinations."""

    dsts: tuple[Network, ...] | None = None
    cap_map: dict[str, tuple[Any, ...] | None] | None = None


class FilterRule(Message, frozen=True, kw_only=True):
    """Sources that may reach destinations; a rule has destinations or capabilities."""

    src_ips: tuple[str, ...] | None = msgspec.field(name="SrcIPs", default=None)
    dst_ports: tuple[NetPortRange, ...] | None = None
    ip_proto: tuple[int, ...] | None = msgspec.field(name="IPProto", default=None)
    """Absent or empty: TCP, UDP, ICMP and ICMPv6."""
    cap_grant: tuple[CapGrant, ...] | None = None
