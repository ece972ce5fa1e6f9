"""A node as the coordinator describes it, to itself and to its peers.

Source: tailscale tailcfg/tailcfg.go (Node, UserProfile), 2026-08.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from appliance.protocol.keys import DiscoPublic, MachinePublic, NodePublic
from appliance.protocol.tailcfg.codec import Message, Network
from appliance.protocol.tailcfg.hostinfo import Hostinfo

ZERO_TIME: Final = datetime(1, 1, 1, tzinfo=UTC)
"""The wire's absent time."""


def is_set(time: datetime | None) -> bool:
    """Whether a time is there at all (neither absent nor the wire's zero)."""
    return time is not None and time.year > 1


class UserProfile(Message, frozen=True, kw_only=True):
    """Who owns nodes; ``login_name`` must not be empty for stock clients to keep a profile."""

    id: int = msgspec.field(name="ID")
    login_name: str = ""
    display_name: str = ""
    profile_pic_url: str = msgspec.field(name="ProfilePicURL", default="")


class Node(Message, frozen=True, kw_only=True):
    """One node of the tailnet."""

    id: int = msgspec.field(name="ID")
    stable_id: str = msgspec.field(name="StableID", default="")
    name: str = ""
    """Fully qualified, with the trailing dot."""
    user: int = 0
    sharer: int = 0
    key: NodePublic
    key_expiry: datetime | None = None
    machine: MachinePublic | None = None
    disco_key: DiscoPublic | None = None
    addresses: tuple[Network, ...] | None = None
    """The node's own addresses, as /32 and /128."""
    allowed_ips: tuple[Network, ...] | None = msgspec.field(name="AllowedIPs", default=None)
    """Addresses and routed prefixes; absent means the same as ``addresses``."""
    endpoints: tuple[str, ...] | None = None
    """Candidate UDP addresses as ``ip:port``."""
    derp: str = msgspec.field(name="DERP", default="")
    """The home relay as clients before capability version 111 read it: ``127.3.3.40:<region>``."""
    home_derp: int = msgspec.field(name="HomeDERP", default=0)
    hostinfo: Hostinfo | None = None
    created: datetime | None = None
    cap: int = 0
    tags: tuple[str, ...] | None = None
    primary_routes: tuple[Network, ...] | None = None
    last_seen: datetime | None = None
    online: bool | None = None
    machine_authorized: bool = False
    capabilities: tuple[str, ...] | None = None
    cap_map: dict[str, tuple[Any, ...] | None] | None = None
    unsigned_peer_api_only: bool = msgspec.field(name="UnsignedPeerAPIOnly", default=False)
    expired: bool = False
    is_wireguard_only: bool = msgspec.field(name="IsWireGuardOnly", default=False)
    is_jailed: bool = False
