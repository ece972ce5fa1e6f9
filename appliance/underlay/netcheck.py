"""One look at our network through STUN: what the relays see of us, and how far they are.

Each region's relays are asked in turn, again after a while when no answer came, over both
families. Two servers that see us at different addresses mean that our NAT maps by destination
(a hard NAT); one server alone cannot tell.

Source of the numbers: tailscale net/netcheck/netcheck.go, 2026-08. Pure: time and transaction IDs
come from the caller.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.stun import Response, encode_request
from appliance.protocol.tailcfg import NetInfo

# From the reference.
PROBE_TIMEOUT_S: Final = 3.0
TRIES: Final = 3
TRY_SPACING_S: Final = 0.1
ENOUGH_REGIONS: Final = 3
FULL_INTERVAL_S: Final = 300.0
# Ours: how long the slower family, or a second server, may lag behind the first answers.
GRACE_S: Final = 0.1
# Ours: a report asks at most so many servers; relay maps have some dozens of regions.
MAX_TARGETS: Final = 256


@dataclass(frozen=True, slots=True)
class Target:
    """One STUN server of a region."""

    region: int
    address: AddrPort


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out."""

    latency_s: Mapping[tuple[int, int], float] = field(default_factory=dict)
    """By region and IP version."""
    mapped_v4: tuple[AddrPort, ...] = ()
    """How servers see our port, the first one first."""
    mapped_v6: tuple[AddrPort, ...] = ()
    mapping_varies: bool | None = None

    @property
    def udp(self) -> bool:
        """Whether any answer came."""
        return bool(self.latency_s)

    def region_latency_s(self) -> dict[int, float]:
        """Return the better family's latency of each region."""
        best: dict[int, float] = {}
        for (region, _), latency_s in self.latency_s.items():
            best[region] = min(latency_s, best.get(region, latency_s))
        return best


@dataclass(frozen=True, slots=True)
class _Probe:
    target: Target
    at: float


class Netcheck:
    """One measurement: ask `requests_due`, feed `receive`, until `is_done`."""

    def __init__(
        self, targets: Sequence[Target], new_tx_id: Callable[[], bytes], now: float
    ) -> None:
        """Plan the probes; each region's servers of a family are tried in turn."""
        self._new_tx_id = new_tx_id
        self._planned = _plan(targets[:MAX_TARGETS], now)
        self._regions = {target.region for target in targets}
        self._wanted = {_slot(target) for target in targets}
        self._sent: dict[bytes, _Probe] = {}
        self._latency_s: dict[tuple[int, int], float] = {}
        self._seen_by: dict[IPAddress, AddrPort] = {}
        self._deadline = now + PROBE_TIMEOUT_S + TRIES * TRY_SPACING_S
        self._enough_at: float | None = None

    def next_timeout(self) -> float:
        """When to call `requests_due` again."""
        ends = [self._deadline]
        if self._planned:
            ends.append(self._planned[0].at)
        if self._enough_at is not None:
            ends.append(self._enough_at)
        return min(ends)

    def requests_due(self, now: float) -> list[tuple[AddrPort, bytes]]:
        """Return the requests to send now: server and datagram."""
        requests: list[tuple[AddrPort, bytes]] = []
        while self._planned and self._planned[0].at <= now:
            target = self._planned.pop(0).target
            if self._helps(target):
                tx_id = self._new_tx_id()
                self._sent[tx_id] = _Probe(target, now)
                requests.append((target.address, encode_request(tx_id)))
        return requests

    def receive(self, response: Response, now: float) -> bool:
        """Take a server's answer; False when it is to no request of ours."""
        probe = self._sent.pop(response.tx_id, None)
        if probe is None:
            return False
        slot, latency_s = _slot(probe.target), now - probe.at
        self._latency_s[slot] = min(latency_s, self._latency_s.get(slot, latency_s))
        self._seen_by.setdefault(probe.target.address.ip, response.address)
        answered = {region for region, _ in self._latency_s}
        if self._enough_at is None and len(answered) >= min(ENOUGH_REGIONS, len(self._regions)):
            self._enough_at = now + max(GRACE_S, 2 * max(self._latency_s.values()))
        return True

    def is_done(self, now: float) -> bool:
        """Whether there is nothing more to wait for."""
        if self._wanted <= self._latency_s.keys() or now >= self._deadline:
            return True
        return self._enough_at is not None and now >= self._enough_at

    def report(self) -> Report:
        """Return what is known so far."""
        v4 = [(by, seen) for by, seen in self._seen_by.items() if seen.ip.version == 4]
        v6 = [seen for seen in self._seen_by.values() if seen.ip.version == 6]
        return Report(
            dict(self._latency_s),
            tuple(dict.fromkeys(seen for _, seen in v4)),
            tuple(dict.fromkeys(v6)),
            len({seen for _, seen in v4}) > 1 if len(v4) > 1 else None,
        )

    def _helps(self, target: Target) -> bool:
        return _slot(target) not in self._latency_s


def _slot(target: Target) -> tuple[int, int]:
    return target.region, target.address.ip.version


def _plan(targets: Sequence[Target], now: float) -> list[_Probe]:
    servers: dict[tuple[int, int], list[Target]] = {}
    for target in targets:
        servers.setdefault(_slot(target), []).append(target)
    probes = [
        _Probe(choice[i % len(choice)], now + i * TRY_SPACING_S)
        for choice in servers.values()
        for i in range(TRIES)
    ]
    return sorted(probes, key=lambda probe: probe.at)


def net_info(report: Report, home: int, *, os_has_ipv6: bool, udp: bool) -> NetInfo:
    """Return what the coordinator is told of a report; without UDP it has HTTPS latencies."""
    return NetInfo(
        mapping_varies_by_dest_ip=report.mapping_varies,
        working_ipv6=bool(report.mapped_v6),
        os_has_ipv6=os_has_ipv6,
        working_udp=udp,
        preferred_derp=home,
        derp_latency={
            f"{region}-v{version}": round(latency_s, 6)
            for (region, version), latency_s in sorted(report.latency_s.items())
        },
    )


def is_same_network(one: NetInfo | None, other: NetInfo) -> bool:
    """Whether two descriptions differ in nothing but latencies, which alone are no news."""
    if one is None:
        return False
    return _without_latency(one) == _without_latency(other)


def _without_latency(info: NetInfo) -> tuple[object, ...]:
    return (
        info.mapping_varies_by_dest_ip,
        info.working_ipv6,
        info.os_has_ipv6,
        info.working_udp,
        info.preferred_derp,
    )
