"""Which exit node is the nearest, and which one ``auto:any`` stands for. Pure.

Near is what answers soon: over the direct path where there is one, else as far as the relay that
is the peer's home, which is the reference's measure too. Source: tailscale ipn/ipnlocal/local.go
(suggestExitNode), 2026-08.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from appliance.netmap.model import NetworkMap, home_relay_of, is_expired, offers_exit, short_name
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import Direct, UnderlayStatus


@dataclass(frozen=True, slots=True)
class Candidate:
    """A peer that offers to be exit node."""

    node: Node
    usable: bool
    """It is online, and its key is valid."""
    latency_s: float | None
    direct: bool

    @property
    def id(self) -> str:
        """The node's stable ID."""
        return self.node.stable_id


@dataclass(frozen=True, slots=True)
class Choice:
    """What ``auto:any`` stands for now."""

    id: str
    measured: bool
    """Latencies were known when it was chosen."""


def candidates(
    netmap: NetworkMap, underlay: UnderlayStatus, now: datetime
) -> tuple[Candidate, ...]:
    """Return who offers to be exit node, the nearest usable one first."""
    regions = _region_latency(underlay)
    found = [
        _candidate(peer, underlay.paths, regions, now)
        for peer in netmap.peers.values()
        if offers_exit(peer)
    ]
    return tuple(sorted(found, key=_order))


def suggest(found: Iterable[Candidate]) -> Candidate | None:
    """Return the nearest usable one."""
    return next((one for one in found if one.usable), None)


def next_choice(present: Choice | None, found: tuple[Candidate, ...]) -> Choice | None:
    """Keep what is in use while it works: a change breaks every connection through it.

    A choice that was made without any measurement is made once more when there is one.
    """
    best = suggest(found)
    if best is None:
        return present
    measured = best.latency_s is not None
    mine = next((one for one in found if present is not None and one.id == present.id), None)
    if present is None or mine is None or not mine.usable:
        return Choice(best.id, measured)
    if measured and not present.measured:
        return Choice(best.id, measured)
    return present


def _candidate(
    peer: Node,
    paths: Mapping[NodePublic, object],
    regions: Mapping[int, float],
    now: datetime,
) -> Candidate:
    path = paths.get(peer.key)
    direct = isinstance(path, Direct)
    latency = path.latency_s if isinstance(path, Direct) else regions.get(home_relay_of(peer))
    usable = bool(peer.online) and not is_expired(peer, now)
    return Candidate(peer, usable, latency, direct)


def _order(one: Candidate) -> tuple[bool, bool, float, str]:
    known = one.latency_s is not None
    return not one.usable, not known, one.latency_s or 0.0, short_name(one.node)


def _region_latency(underlay: UnderlayStatus) -> dict[int, float]:
    """Return the better family's latency to each relay region."""
    info = underlay.net_info
    found: dict[int, float] = {}
    for name, latency_s in ((info.derp_latency if info else None) or {}).items():
        region = name.partition("-")[0]
        if region.isdecimal():
            found[int(region)] = min(latency_s, found.get(int(region), latency_s))
    return found
