"""What travels over the Local API: status, prefs, progress, ping and netcheck, as JSON.

``Status`` has the field names that people's scripts know from ``tailscale status --json``.
Source: tailscale ipn/ipnstate/ipnstate.go, 2026-08.
"""

from datetime import datetime
from typing import Any

import msgspec

from appliance.netmap.prefs import Prefs


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One node as this agent sees it; ``cur_addr`` empty and ``relay`` set means relayed."""

    id: str = msgspec.field(name="ID", default="")
    public_key: str = ""
    host_name: str = ""
    dns_name: str = msgspec.field(name="DNSName", default="")
    os: str = msgspec.field(name="OS", default="")
    user_id: int = msgspec.field(name="UserID", default=0)
    tailscale_ips: tuple[str, ...] = msgspec.field(name="TailscaleIPs", default=())
    allowed_ips: tuple[str, ...] = msgspec.field(name="AllowedIPs", default=())
    tags: tuple[str, ...] = ()
    primary_routes: tuple[str, ...] = ()
    addrs: tuple[str, ...] = ()
    cur_addr: str = ""
    relay: str = ""
    latency_s: float | None = msgspec.field(name="LatencySeconds", default=None)
    rx_bytes: int = 0
    tx_bytes: int = 0
    created: datetime | None = None
    last_seen: datetime | None = None
    last_handshake: datetime | None = None
    online: bool = False
    active: bool = False
    exit_node: bool = False
    exit_node_option: bool = False
    expired: bool = False
    key_expiry: datetime | None = None


class RouteStatus(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One subnet that this node advertises, and whether the coordinator approved it."""

    prefix: str
    approved: bool


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole of ``latchkey status``."""

    version: str
    backend_state: str
    have_node_key: bool = False
    auth_url: str = msgspec.field(name="AuthURL", default="")
    dataplane: str = ""
    """What moves the packets, in a few words."""
    tailscale_ips: tuple[str, ...] = msgspec.field(name="TailscaleIPs", default=())
    self_node: PeerStatus = msgspec.field(name="Self", default_factory=PeerStatus)
    advertised: tuple[RouteStatus, ...] = ()
    exit_node_advertised: bool = False
    exit_node_approved: bool = False
    control_online: bool = False
    """Whether the coordinator is connected now; the mesh works without it too."""
    health: tuple[str, ...] = ()
    magic_dns_suffix: str = msgspec.field(name="MagicDNSSuffix", default="")
    peers: dict[str, PeerStatus] = msgspec.field(name="Peer", default_factory=dict)
    users: dict[str, Any] = msgspec.field(name="User", default_factory=dict)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why something did not work: a code for programs, a sentence for people."""

    code: str
    message: str


class UpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Connect: prefs to change first, and a pre-auth key to log in with."""

    prefs: dict[str, Any] = {}
    auth_key: str = ""
    force_reauth: bool = False

    def __repr__(self) -> str:
        return f"<UpRequest {sorted(self.prefs)} [private]>"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where the agent stands; ``seq`` grows with every change."""

    seq: int
    state: str
    auth_url: str = ""
    failure: Failure | None = None


class PingReply(msgspec.Struct, frozen=True, kw_only=True):
    """One answered or unanswered ping: ``endpoint`` when direct, else ``relay`` (region code)."""

    node_name: str
    ip: str
    latency_s: float | None = None
    endpoint: str = ""
    relay: str = ""


class NetcheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine's network lets through."""

    udp: bool | None
    ipv4: str = ""
    ipv6: str = ""
    mapping_varies: bool | None = None
    nearest_relay: str = ""
    relay_latency_s: dict[str, float] = {}
    relay_connected: bool = False


__all__ = [
    "Failure",
    "NetcheckReport",
    "PeerStatus",
    "PingReply",
    "Prefs",
    "Progress",
    "RouteStatus",
    "Status",
    "UpRequest",
]
