"""The devices of the mesh as a page lists them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flask_babel import format_decimal
from flask_babel import gettext as _

from appliance.localapi.types import PeerStatus, Status
from webui.units import ago_text

_SYSTEMS: Final = {
    "ios": "iOS",
    "macos": "macOS",
    "tvos": "tvOS",
    "android": "Android",
    "windows": "Windows",
    "linux": "Linux",
    "freebsd": "FreeBSD",
}


@dataclass(frozen=True, slots=True)
class Member:
    """One device."""

    name: str
    system: str
    online: bool
    path: str
    """``direct``, ``relayed``, ``idle`` or ``away``."""
    sentence: str
    """How it is reached, or when it was there last."""
    addresses: tuple[str, ...]
    offers: tuple[str, ...]
    """The networks that it carries; an exit node carries ``exit``."""
    key: str
    """Its node key, by which the coordinator knows it too."""


def members_of(status: Status, now: datetime | None = None) -> tuple[Member, ...]:
    """Describe everybody but the box itself: who is there comes first."""
    moment = now or datetime.now(UTC)
    found = [member_of(peer, moment) for peer in status.peers.values()]
    return tuple(sorted(found, key=lambda member: (not member.online, member.name)))


def member_of(peer: PeerStatus, now: datetime) -> Member:
    """Describe one device."""
    path = path_of(peer)
    return Member(
        name=peer.dns_name.partition(".")[0] or peer.host_name,
        system=system_name(peer.os),
        online=peer.online,
        path=path,
        sentence=_sentence(peer, path, now),
        addresses=peer.tailscale_ips,
        offers=(*peer.primary_routes, *(("exit",) if peer.exit_node_option else ())),
        key=peer.public_key,
    )


def system_name(os: str) -> str:
    """Spell an operating system as its maker does."""
    return _SYSTEMS.get(os.lower(), os)


def path_of(peer: PeerStatus) -> str:
    """Say which way packets take; without any there is none."""
    if not peer.online:
        return "away"
    if peer.cur_addr:
        return "direct"
    return "relayed" if peer.active else "idle"


def _sentence(peer: PeerStatus, path: str, now: datetime) -> str:
    if path == "direct" and peer.latency_s is not None:
        latency = format_decimal(max(1, round(peer.latency_s * 1000)))
        return str(
            _("Direct connection to %(address)s, %(ms)s ms", address=peer.cur_addr, ms=latency)
        )
    if path == "direct":
        return str(_("Direct connection to %(address)s", address=peer.cur_addr))
    if path == "relayed":
        return str(_("Through the relay %(relay)s", relay=peer.relay or "?"))
    if path == "idle":
        return str(_("Connected; no packets right now"))
    if peer.last_seen is None:
        return str(_("Not seen yet"))
    return str(_("Last seen %(ago)s", ago=ago_text(peer.last_seen, now)))
