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


class Fact(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One thing that is so or not, how that is known, and since when."""

    ok: bool
    evidence: str = ""
    """One sentence."""
    since: datetime | None = None


class RouteStatus(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One subnet or exit, and the four facts that make it work.

    *Advertised* by its router, *approved* by the coordinator, *serving* (everything on this
    machine that it needs is in place), *proven* (something went through it and came back).
    """

    prefix: str
    """In CIDR form, or ``exit``."""
    router: str = ""
    """The peer that carries it; empty: this node."""
    advertised: Fact
    approved: Fact
    serving: Fact
    proven: Fact

    @property
    def facts(self) -> dict[str, Fact]:
        """The four facts in the order in which they come about."""
        return {
            "advertised": self.advertised,
            "approved": self.approved,
            "serving": self.serving,
            "proven": self.proven,
        }


class Routes(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole of ``latchkey routes``."""

    routes: tuple[RouteStatus, ...] = ()


class HealthItem(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One warning of the catalogue that is on now."""

    code: str
    subject: str = ""
    title: str = ""
    text: str = ""
    fix: str = ""
    severity: str = ""
    since: datetime | None = None


class ExitOption(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One peer that offers to carry all traffic."""

    name: str
    id: str = msgspec.field(name="ID", default="")
    ip: str = msgspec.field(name="IP", default="")
    online: bool = False
    chosen: bool = False
    suggested: bool = False
    latency_s: float | None = msgspec.field(name="LatencySeconds", default=None)
    """Of the direct path, or else of the way by its home relay; None: not known."""
    measured: str = ""
    """What the latency is of: ``direct``, ``relay`` or nothing."""
    ipv6: str = msgspec.field(name="IPv6", default="unknown")
    """``yes``, ``no`` or ``unknown``."""


class ExitOptions(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole of ``latchkey exit-node list``."""

    options: tuple[ExitOption, ...] = ()


class CheckItem(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """One thing that ``latchkey doctor`` looked at."""

    layer: str
    """``profile``, ``health``, or the layer of a connection."""
    name: str
    state: str
    """``ok``, ``repaired``, ``unknown``, ``wrong`` or ``refused``."""
    evidence: str = ""
    fix: str = ""

    @property
    def is_broken(self) -> bool:
        """Whether something must be done."""
        return self.state in ("wrong", "refused")


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The whole of ``latchkey doctor``; ``verdict`` is one sentence."""

    target: str = ""
    agent_running: bool = True
    items: tuple[CheckItem, ...] = ()
    verdict: str = ""
    broken: str = ""
    """The first broken layer; empty when none is."""
    code: str = "ok"
    """The failure's name, see ``exit_status``."""


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
    routes: tuple[RouteStatus, ...] = ()
    """Those of this node, then those that it uses of others."""
    exit_node_ipv6: str = msgspec.field(name="ExitNodeIPv6", default="")
    """Of the exit node in use, or of this one: ``yes``, ``no``, ``unknown``; empty: neither."""
    control_online: bool = False
    """Whether the coordinator is connected now; the mesh works without it too."""
    health: tuple[str, ...] = ()
    """One sentence for each warning."""
    warnings: tuple[HealthItem, ...] = ()
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


class NetworkFound(msgspec.Struct, frozen=True, kw_only=True):
    """One network that this machine is attached to, and whether it may be offered to the mesh."""

    interface: str
    kind: str
    """``ethernet``, ``wifi`` or ``other``."""
    prefix: str
    """In CIDR form, as prefs want it."""
    addresses: tuple[str, ...] = ()
    """This machine's own in it."""
    is_uplink: bool = False
    """The way to the internet is there."""
    gateway: str = ""
    """The default gateway, where it is in this network."""
    advertisable: bool = False
    reason: str = ""
    """Why it is not to be offered, as one sentence."""


class Networks(msgspec.Struct, frozen=True, kw_only=True):
    """What a person chooses the networks to offer from; those to offer come first."""

    networks: tuple[NetworkFound, ...] = ()


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What went through the tunnel in the last hour: bytes a step, the oldest first."""

    step_s: int = 10
    rx_bytes: tuple[int, ...] = ()
    tx_bytes: tuple[int, ...] = ()


class CoordinatorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this machine is the coordinator of a mesh, and whether it may become one."""

    configured: bool = False
    """It is, by ``BeCoordinator``; it starts by itself."""
    by_hand: bool = False
    """It is, by a settings file of its owner's."""
    server_url: str = ""
    """What nodes log in to, where it was chosen."""
    base_domain: str = ""
    available: bool = False
    """Whether ``BeCoordinator`` would be accepted."""
    reason: str = ""
    """Why it would not, as one sentence."""


class BeCoordinator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Be the coordinator of a new mesh."""

    server_url: str
    """``http://192.168.1.2:8080``: where nodes find it; no path."""
    base_domain: str = ""
    """Empty: ``mesh.internal``."""


__all__ = [
    "BeCoordinator",
    "CheckItem",
    "CoordinatorSettings",
    "DoctorReport",
    "ExitOption",
    "ExitOptions",
    "Fact",
    "Failure",
    "HealthItem",
    "NetcheckReport",
    "NetworkFound",
    "Networks",
    "PeerStatus",
    "PingReply",
    "Prefs",
    "Progress",
    "RouteStatus",
    "Routes",
    "Status",
    "Traffic",
    "UpRequest",
]
