"""One peer's path: how its direct address is found, trusted, watched and given up.

At rest packets go through the relay. The first one wakes the machine: it pings every candidate
and asks the peer, through the relay, to do the same (call-me-maybe). A pong makes its address the
path and renews the trust in it; pings keep it alive while there is traffic. Without pongs the
packets go both ways for a while, then by the relay alone.

Source of the numbers and rules: tailscale wgengine/magicsock (endpoint.go, magicsock.go),
2026-08. Pure: time and transaction IDs come from the caller.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.protocol.addresses import AddrPort
from appliance.underlay.candidates import Candidate, Candidates, is_better
from appliance.underlay.config import Direct
from appliance.underlay.pathstate import (
    TRANSITIONS,
    Action,
    PathInput,
    PathState,
    Route,
    SendCallMeMaybe,
    SendPing,
    SetRoute,
)

# From the reference.
HEARTBEAT_S: Final = 3.0
TRUST_S: Final = 6.5
PING_TIMEOUT_S: Final = 5.0
PING_INTERVAL_S: Final = 5.0
UPGRADE_INTERVAL_S: Final = 60.0
GOOD_ENOUGH_S: Final = 0.005
ACTIVE_S: Final = 45.0

# Ours: packets go both ways for two rounds of pings; then the address is not worth the copies.
DOUBT_S: Final = 10.0
# Ours: should pongs get lost where pings pass, two nodes that ping back do it no faster.
PING_BACK_INTERVAL_S: Final = 1.0
# Ours: a search pings once more after this long. Firewalls open when a node sends, and the message
# that makes the other one send may have been slower than our pings; or a ping was lost.
REPEAT_S: Final = 0.5
# Ours: an endpoint that WireGuard moved is put back at most this often.
REASSERT_INTERVAL_S: Final = 1.0
# Ours: a path that may be used without our doing is watched for traffic this long: two heartbeats
# of a peer that pings us, or what is still on its way when a path has just been given up.
WATCH_S: Final = 2 * HEARTBEAT_S + 1.0
# Ours: a doubtful path is checked by three pings, each given one and a half times the shortest
# round trip seen, within these bounds, and once a second at most. A path that dies while it carries
# data is noticed at the next look at the counters (0.5 to 1 s) and left 0.4 s later.
CHECK_MIN_S: Final = 0.12
CHECK_MAX_S: Final = 1.0
CHECK_RATIO: Final = 1.5
CHECKS: Final = 3
CHECK_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Sent:
    address: AddrPort
    at: float


@dataclass(frozen=True, slots=True)
class _Check:
    """A ping that a silent path must answer soon."""

    tries: int
    deadline: float


class PeerPath:
    """One peer's path; every method queues what is to be done (`take_actions`)."""

    def __init__(self, new_tx_id: Callable[[], bytes]) -> None:
        self.state = PathState.RELAYED
        self.best: Direct | None = None
        self.candidates = Candidates()
        self._new_tx_id = new_tx_id
        self._route = Route()
        self._actions: list[Action] = []
        self._sent: dict[bytes, _Sent] = {}
        self._last_traffic: float | None = None
        self._heartbeat_at: float | None = None
        self._swept_at: float | None = None
        self._called_at: float | None = None
        self._repeat_at: float | None = None
        self._shortest_s = 0.0
        self._trusted_until = 0.0
        self._doubted_until = 0.0
        self._check: _Check | None = None
        self._checked_at = float("-inf")
        self._relayed_at = float("-inf")
        self._watch_until = 0.0
        self._counters: tuple[int, int] | None = None
        self._roamed_to: tuple[AddrPort, float] | None = None
        self._peers_choice: AddrPort | None = None
        self._asserted_at = float("-inf")

    # -- what the caller asks

    @property
    def route(self) -> Route:
        """Where packets go now."""
        return self._route

    def take_actions(self) -> list[Action]:
        """Take what is to be done, in order."""
        actions, self._actions = self._actions, []
        return actions

    def is_active(self, now: float) -> bool:
        """Whether there was traffic lately."""
        return self._last_traffic is not None and now - self._last_traffic <= ACTIVE_S

    def wants_counters(self, now: float) -> bool:
        """Whether `note_counters` can tell this path something now."""
        return (
            self.state in (PathState.DIRECT, PathState.UNTRUSTED)
            or now < self._watch_until
            or self.is_active(now)
        )

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due; None at rest."""
        due = [sent.at + PING_TIMEOUT_S for sent in self._sent.values()]
        due += [at for at in (self._heartbeat_at, self._repeat_at) if at is not None]
        if self.state is PathState.DIRECT:
            due.append(self._trusted_until)
        if self.state is PathState.UNTRUSTED:
            due.append(self._doubted_until)
        if self._check is not None:
            due.append(self._check.deadline)
        return min(due, default=None)

    # -- what happened

    def want(self, now: float) -> None:
        """Note that a packet for the peer is on its way through the proxy, or soon will be."""
        resting = not self.is_active(now)
        self._last_traffic = now
        if self._heartbeat_at is None:
            self._heartbeat_at = now + HEARTBEAT_S
        if resting and self.state is not PathState.DIRECT:
            self._sweep(now)

    def ping_now(self, now: float) -> None:
        """Ping the best address, or every candidate while there is none, for somebody waits."""
        self.want(now)
        if self.best is not None:
            self._ping_best(now)
        else:
            for candidate in self.candidates:
                self._ping(candidate, now)

    def adopt(self, address: AddrPort, now: float) -> None:
        """Take over the endpoint that the device already has for the peer."""
        if self.state is PathState.RELAYED and self.candidates.hear(address, now):
            self.best = Direct(address, 0.0)
            self._doubted_until = now + DOUBT_S
            self._step(PathInput.ADOPT, now)
            self.want(now)

    def watch(self, now: float) -> None:
        """Look out for traffic for a while."""
        self._watch_until = now + WATCH_S

    def set_netmap_endpoints(self, addresses: Iterable[AddrPort], now: float) -> None:
        """Take the netmap's candidates; new ones are pinged at once while there is traffic."""
        self.candidates.set_netmap(addresses)
        if self.is_active(now) and self.state is not PathState.DIRECT:
            for candidate in self.candidates:
                if candidate.pinged_at is None:
                    self._ping(candidate, now)

    def receive_ping(self, tx_id: bytes, source: AddrPort, now: float) -> bool:
        """Learn from a ping that came straight from ``source``; return whether to answer it.

        A repeated transaction is the network's duplicate and gets no second pong.
        """
        self.watch(now)
        candidate = self.candidates.hear(source, now)
        if candidate is None:
            return False
        if candidate.last_ping_tx == tx_id:
            return False
        candidate.last_ping_tx = tx_id
        self._ping_back(candidate, now)
        return True

    def receive_pong(self, tx_id: bytes, now: float) -> Direct | None:
        """Take a pong; return what it proved, None when we sent no such ping.

        The address that was pinged is proven, whatever address the pong came from.
        """
        sent = self._sent.pop(tx_id, None)
        if sent is None:
            return None
        proven = Direct(sent.address, now - sent.at)
        candidate = self.candidates.get(sent.address)
        if candidate is not None:
            self._consider(proven, now)
        return proven

    def receive_call_me_maybe(self, addresses: Iterable[AddrPort], now: float) -> None:
        """Ping all candidates now: the peer has just opened its firewall for us."""
        self.candidates.set_called(addresses)
        self.watch(now)
        self._repeat_at = now + REPEAT_S
        for candidate in self.candidates:
            self._ping(candidate, now)

    def note_relayed(self, now: float) -> None:
        """Note that the peer's data came through the relay: perhaps it lost the direct path."""
        self._relayed_at = now
        self._doubt(now)

    def note_counters(
        self, rx_bytes: int, tx_bytes: int, endpoint: AddrPort | None, now: float
    ) -> None:
        """Compare with what the device said before; ``endpoint`` None is the proxy."""
        before, self._counters = self._counters, (rx_bytes, tx_bytes)
        if before is not None:
            self._note_traffic(rx_bytes != before[0], tx_bytes != before[1], now)
        self._note_endpoint(endpoint, now)

    def send_failed(self, address: AddrPort, now: float) -> None:
        """Give up on an address to which this host cannot even send."""
        self._sent = {tx: sent for tx, sent in self._sent.items() if sent.address != address}
        if self.state is PathState.DIRECT and self.best and self.best.address == address:
            self._distrust(now)
        self._settle(now)

    def forget(self, now: float) -> None:
        """Start anew: the network changed, so nothing that was proven still holds."""
        self._sent.clear()
        for candidate in self.candidates:
            candidate.pinged_at = None
        self._step(PathInput.FORGET, now)
        self._called_at = None
        if self.is_active(now):
            self._sweep(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._sent = {tx: s for tx, s in self._sent.items() if now < s.at + PING_TIMEOUT_S}
        if self.state is PathState.DIRECT and now >= self._trusted_until:
            self._distrust(now)
        if self._check is not None and now >= self._check.deadline:
            self._check_again(self._check, now)
        if self._repeat_at is not None and now >= self._repeat_at:
            self._repeat(now)
        if self._heartbeat_at is not None and now >= self._heartbeat_at:
            self._heartbeat(now)
        self._settle(now)

    # -- pings

    def _ping(self, candidate: Candidate, now: float) -> None:
        candidate.pinged_at = now
        tx_id = self._new_tx_id()
        self._sent[tx_id] = _Sent(candidate.address, now)
        self._actions.append(SendPing(candidate.address, tx_id))
        self._step(PathInput.PROBE, now)

    def _ping_back(self, candidate: Candidate, now: float) -> None:
        """Ping where a ping came from: the way back is open right now.

        Ours: the reference waits for the next sweep or call-me-maybe.
        """
        searching = self.state is not PathState.DIRECT and (
            self.state is PathState.PROBING or self.is_active(now)
        )
        if searching and now - candidate.pinged_back_at >= PING_BACK_INTERVAL_S:
            candidate.pinged_back_at = now
            self._ping(candidate, now)

    def _ping_best(self, now: float) -> None:
        candidate = self.candidates.get(self.best.address) if self.best else None
        if candidate is not None:
            self._ping(candidate, now)

    def _sweep(self, now: float) -> None:
        """Ping what was not pinged lately, and ask the peer to do the same."""
        self._swept_at = now
        self.candidates.prune(now, self.best.address if self.best else None)
        for candidate in self.candidates:
            if candidate.pinged_at is None or now - candidate.pinged_at >= PING_INTERVAL_S:
                self._ping(candidate, now)
        if self._called_at is None or now - self._called_at >= PING_INTERVAL_S:
            self._called_at = now
            self._repeat_at = now + REPEAT_S
            self._actions.append(SendCallMeMaybe())

    def _repeat(self, now: float) -> None:
        self._repeat_at = None
        if self.state in (PathState.PROBING, PathState.UNTRUSTED):
            for candidate in self.candidates:
                self._ping(candidate, now)

    def _heartbeat(self, now: float) -> None:
        if not self.is_active(now):
            self._heartbeat_at = None
            self._step(PathInput.REST, now)
            return
        self._heartbeat_at = now + HEARTBEAT_S
        self._ping_best(now)
        if self._wants_sweep(now):
            self._sweep(now)

    def _wants_sweep(self, now: float) -> bool:
        if self.state is not PathState.DIRECT or self.best is None or self._swept_at is None:
            return True
        if self.best.latency_s <= GOOD_ENOUGH_S:
            return False
        return now - self._swept_at >= UPGRADE_INTERVAL_S

    # -- trust

    def _consider(self, proven: Direct, now: float) -> None:
        best = self.best
        if self.state is not PathState.DIRECT or best is None or self._prefers(proven, best):
            best = proven
        if best.address == proven.address:
            same = self.best is not None and self.best.address == proven.address
            self._shortest_s = min(proven.latency_s, self._shortest_s if same else 1.0)
            self.best = proven
            self._trusted_until = now + TRUST_S
            self._check = None
            self._step(PathInput.PONG, now)

    def _prefers(self, proven: Direct, best: Direct) -> bool:
        """Follow the peer where it sends from; otherwise go by points."""
        if self._roamed_to is not None and self._roamed_to[0] == proven.address:
            self._peers_choice = proven.address
            return True
        return best.address != self._peers_choice and is_better(proven, best)

    def _distrust(self, now: float) -> None:
        self._check = None
        if not self.is_active(now):
            self._step(PathInput.REST, now)
            return
        self._doubted_until = now + DOUBT_S
        self._step(PathInput.EXPIRED, now)
        self._sweep(now)

    def _check_again(self, check: _Check, now: float) -> None:
        if check.tries >= CHECKS:
            self._distrust(now)
        else:
            self._start_check(check.tries + 1, now)

    def _doubt(self, now: float) -> None:
        """Check the direct path, unless that has just been done."""
        recently = now - self._checked_at < CHECK_INTERVAL_S
        if self.state is PathState.DIRECT and self._check is None and not recently:
            self._checked_at = now
            self._start_check(1, now)

    def _start_check(self, tries: int, now: float) -> None:
        patience_s = min(max(CHECK_RATIO * self._shortest_s, CHECK_MIN_S), CHECK_MAX_S)
        self._check = _Check(tries, now + patience_s)
        self._ping_best(now)

    def _settle(self, now: float) -> None:
        """End a doubt that lasted too long, and a search that nobody answered."""
        if self.state is PathState.UNTRUSTED and now >= self._doubted_until:
            self._step(PathInput.SILENCE, now)
        if self.state is PathState.PROBING and not self._sent:
            self._step(PathInput.SILENCE, now)

    # -- what the device says

    def _note_traffic(self, received: bool, sent: bool, now: float) -> None:
        if received or sent:
            self.want(now)
        if received and now - self._relayed_at > CHECK_INTERVAL_S:
            self._check = None
        elif sent and not received:
            self._doubt(now)

    def _note_endpoint(self, endpoint: AddrPort | None, now: float) -> None:
        """Follow WireGuard's roaming when the new address answers, else put it back."""
        if endpoint == self._route.endpoint:
            self._roamed_to = None
        elif endpoint is None:
            self._reassert(now)
        elif self._roamed_to is None or self._roamed_to[0] != endpoint:
            candidate = self.candidates.hear(endpoint, now)
            if candidate is not None:
                self._roamed_to = (endpoint, now)
                self._ping(candidate, now)
        elif now - self._roamed_to[1] > PING_TIMEOUT_S:
            self._roamed_to = None
            self._reassert(now)

    def _reassert(self, now: float) -> None:
        if now - self._asserted_at >= REASSERT_INTERVAL_S:
            self._asserted_at = now
            self._actions.append(SetRoute(self._route))

    # -- the table

    def _step(self, what: PathInput, now: float) -> None:
        self.state = TRANSITIONS[self.state, what]
        if self.state in (PathState.RELAYED, PathState.PROBING):
            self.best = None
        if self.state is PathState.RELAYED:
            self._sent.clear()
            self._repeat_at = None
        if self.state is not PathState.DIRECT:
            self._check = self._peers_choice = None
        if self.state is PathState.RELAYED and what is not PathInput.SILENCE:
            self._stay_put(now)
        route = self._planned_route()
        if route != self._route:
            self._route = route
            self._asserted_at = now
            self._actions.append(SetRoute(route))

    def _stay_put(self, now: float) -> None:
        """Put the endpoint back if WireGuard roamed, and see whether it does so again."""
        self.watch(now)
        if self._roamed_to is not None:
            self._roamed_to = None
            self._actions.append(SetRoute(Route()))

    def _planned_route(self) -> Route:
        if self.best is None:
            return Route()
        if self.state is PathState.DIRECT:
            return Route(endpoint=self.best.address)
        return Route(copy_to=self.best.address if self.state is PathState.UNTRUSTED else None)
