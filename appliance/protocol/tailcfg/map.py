"""The map stream: what a node asks for, and what the coordinator streams to it.

A field that is absent (``None``) in a later message means unchanged; an empty list or map is a
value of its own and says so in its docstring where that differs from unchanged.

Source: tailscale tailcfg/tailcfg.go (MapRequest, MapResponse, PeerChange), 2026-08.
"""

from datetime import datetime
from enum import IntEnum
from typing import Any

import msgspec

from appliance.protocol.keys import DiscoPublic, NodePublic
from appliance.protocol.tailcfg.codec import Message
from appliance.protocol.tailcfg.derpmap import DerpMap
from appliance.protocol.tailcfg.dns import DnsConfig
from appliance.protocol.tailcfg.filter import FilterRule
from appliance.protocol.tailcfg.hostinfo import Hostinfo
from appliance.protocol.tailcfg.node import Node, UserProfile


class EndpointType(IntEnum):
    """Where a candidate address came from."""

    UNKNOWN = 0
    LOCAL = 1
    STUN = 2
    PORT_MAPPED = 3
    STUN_LOCAL_PORT = 4
    EXPLICIT = 5


class MapRequest(Message, frozen=True, kw_only=True):
    """Asks for the netmap, or (without stream and peers) only reports changes of this node."""

    version: int = 0
    compress: str = ""
    keep_alive: bool = False
    node_key: NodePublic
    disco_key: DiscoPublic | None = None
    stream: bool = False
    hostinfo: Hostinfo | None = None
    endpoints: tuple[str, ...] | None = None
    endpoint_types: tuple[int, ...] | None = None
    omit_peers: bool = False
    read_only: bool = False
    tka_head: str = msgspec.field(name="TKAHead", default="")
    debug_flags: tuple[str, ...] | None = None
    map_session_handle: str = ""
    map_session_seq: int = 0


class PeerChange(Message, frozen=True, kw_only=True):
    """Only what changed of one peer; ``endpoints`` empty clears them."""

    node_id: int = msgspec.field(name="NodeID")
    derp_region: int = msgspec.field(name="DERPRegion", default=0)
    cap: int = 0
    cap_map: dict[str, tuple[Any, ...] | None] | None = None
    endpoints: tuple[str, ...] | None = None
    key: NodePublic | None = None
    key_signature: str | None = None
    disco_key: DiscoPublic | None = None
    online: bool | None = None
    last_seen: datetime | None = None
    key_expiry: datetime | None = None


class PingRequest(Message, frozen=True, kw_only=True):
    """Asks the node to do something and post the outcome; each needs a URL of its own."""

    url: str = msgspec.field(name="URL", default="")
    url_is_noise: bool = msgspec.field(name="URLIsNoise", default=False)
    log: bool = False
    types: str = ""
    """Empty: HEAD the URL; ``c2n``; or a list of ``disco``, ``TSMP``, ``ICMP``, ``peerapi``."""
    ip: str = msgspec.field(name="IP", default="")
    payload: str | None = None
    """Base64 of a raw HTTP/1 request (``c2n``)."""


class PingResponse(Message, frozen=True, kw_only=True):
    """What a node posts after a ping: a direct ``endpoint``, or a relay's region."""

    type: str = ""
    ip: str = msgspec.field(name="IP", default="")
    node_ip: str = msgspec.field(name="NodeIP", default="")
    node_name: str = ""
    err: str = ""
    latency_seconds: float = 0.0
    endpoint: str = ""
    derp_region_id: int = msgspec.field(name="DERPRegionID", default=0)
    derp_region_code: str = msgspec.field(name="DERPRegionCode", default="")


class Debug(Message, frozen=True, kw_only=True):
    """Switches for stock clients; Latchkey only ever turns log upload off."""

    disable_log_tail: bool = False
    sleep_seconds: float = 0.0


class MapResponse(Message, frozen=True, kw_only=True):
    """One message of the stream: the whole netmap first, then only what changed."""

    keep_alive: bool = False
    ping_request: PingRequest | None = None
    pop_browser_url: str = msgspec.field(name="PopBrowserURL", default="")
    node: Node | None = None
    derp_map: DerpMap | None = msgspec.field(name="DERPMap", default=None)
    peers: tuple[Node, ...] | None = None
    """The full list when not empty; empty or absent is unchanged."""
    peers_changed: tuple[Node, ...] | None = None
    peers_removed: tuple[int, ...] | None = None
    peers_changed_patch: tuple[PeerChange, ...] | None = None
    peer_seen_change: dict[int, bool] | None = None
    online_change: dict[int, bool] | None = None
    dns_config: DnsConfig | None = msgspec.field(name="DNSConfig", default=None)
    domain: str = ""
    collect_services: bool | None = None
    packet_filter: tuple[FilterRule, ...] | None = None
    """Empty blocks everything."""
    packet_filters: dict[str, tuple[FilterRule, ...] | None] | None = None
    """Named chunks; a null chunk is deleted, ``"*": null`` clears all first."""
    user_profiles: tuple[UserProfile, ...] | None = None
    health: tuple[str, ...] | None = None
    ssh_policy: Any = msgspec.field(name="SSHPolicy", default=None)
    control_time: datetime | None = None
    client_version: Any = None
    debug: Debug | None = None
