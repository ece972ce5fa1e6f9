import itertools

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.underlay.config import Direct
from appliance.underlay.path import (
    ACTIVE_S,
    CHECK_MIN_S,
    CHECKS,
    DOUBT_S,
    HEARTBEAT_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    REPEAT_S,
    TRUST_S,
    UPGRADE_INTERVAL_S,
    PeerPath,
)
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
from tests.support.underlay import address

HOME, LAN = address("203.0.113.1"), address("192.168.1.2")


class Driven:
    """A path, and what it did."""

    def __init__(self, *endpoints: AddrPort) -> None:
        numbers = itertools.count(1)
        self.path = PeerPath(lambda: next(numbers).to_bytes(12))
        self.path.set_netmap_endpoints(endpoints, 0.0)
        self.done: list[Action] = []

    def take(self) -> list[Action]:
        actions = self.path.take_actions()
        self.done += actions
        return actions

    def pings(self) -> list[SendPing]:
        return [action for action in self.take() if isinstance(action, SendPing)]

    def pong(self, ping: SendPing, now: float) -> None:
        self.path.receive_pong(ping.tx_id, now)

    def advance(self, until: float) -> list[tuple[float, Action]]:
        """Let time pass; return what was done and when."""
        log: list[tuple[float, Action]] = []
        while (due := self.path.next_timeout()) is not None and due <= until:
            self.path.handle_timeout(due)
            log += [(due, action) for action in self.take()]
        return log


def direct_path(now: float = 0.0, latency_s: float = 0.02) -> Driven:
    driven = Driven(HOME)
    driven.path.want(now)
    [ping] = driven.pings()
    driven.pong(ping, now + latency_s)
    assert driven.path.state is PathState.DIRECT
    driven.take()
    return driven


# -- the table


@pytest.mark.parametrize("state", PathState)
def test_every_state_is_left_by_rest_and_by_a_new_network(state: PathState) -> None:
    for what in (PathInput.REST, PathInput.FORGET):
        assert TRANSITIONS[state, what] is PathState.RELAYED


@pytest.mark.parametrize(("state", "what"), list(itertools.product(PathState, PathInput)))
def test_every_pair_has_one_outcome_or_is_an_error(state: PathState, what: PathInput) -> None:
    driven = Driven(HOME)
    driven.path.state = state
    driven.path.best = Direct(HOME, 0.01)
    wanted = TRANSITIONS.get((state, what))
    if wanted is None:
        with pytest.raises(KeyError):
            driven.path._step(what, 1.0)
    else:
        driven.path._step(what, 1.0)
        assert driven.path.state is wanted
        keeps = wanted in (PathState.DIRECT, PathState.UNTRUSTED)
        assert (driven.path.best is not None) == keeps


def test_what_cannot_happen_is_not_in_the_table() -> None:
    assert (PathState.RELAYED, PathInput.PONG) not in TRANSITIONS
    assert (PathState.RELAYED, PathInput.EXPIRED) not in TRANSITIONS
    assert (PathState.PROBING, PathInput.EXPIRED) not in TRANSITIONS
    assert (PathState.DIRECT, PathInput.ADOPT) not in TRANSITIONS


# -- finding a path


def test_the_first_packet_pings_all_candidates_and_calls() -> None:
    driven = Driven(HOME, LAN)
    driven.path.want(1.0)
    assert driven.take() == [
        SendPing(HOME, bytes(11) + b"\x01"),
        SendPing(LAN, bytes(11) + b"\x02"),
        SendCallMeMaybe(),
    ]
    assert driven.path.state is PathState.PROBING


def test_more_packets_do_not_ping_again_at_once() -> None:
    driven = Driven(HOME)
    driven.path.want(1.0)
    driven.take()
    driven.path.want(1.1)
    assert driven.take() == []


def test_a_pong_makes_the_path_direct() -> None:
    driven = Driven(HOME)
    driven.path.want(1.0)
    [ping] = driven.pings()
    driven.pong(ping, 1.02)
    assert driven.path.best == Direct(HOME, pytest.approx(0.02))
    assert driven.take() == [SetRoute(Route(endpoint=HOME))]


def test_a_pong_with_an_unknown_transaction_means_nothing() -> None:
    driven = Driven(HOME)
    driven.path.want(1.0)
    assert driven.path.receive_pong(b"x" * 12, 1.02) is None
    assert driven.path.state is PathState.PROBING


def test_a_pong_counts_once() -> None:
    driven = Driven(HOME)
    driven.path.want(1.0)
    [ping] = driven.pings()
    driven.pong(ping, 1.02)
    assert driven.path.receive_pong(ping.tx_id, 1.03) is None


def test_a_pong_after_five_seconds_comes_too_late() -> None:
    driven = Driven(HOME)
    driven.path.want(1.0)
    [ping] = driven.pings()
    driven.advance(1.0 + PING_TIMEOUT_S)
    assert driven.path.receive_pong(ping.tx_id, 1.1 + PING_TIMEOUT_S) is None


def test_of_two_answers_the_better_address_wins_even_if_it_is_the_second() -> None:
    driven = Driven(HOME, LAN)
    driven.path.want(1.0)
    first, second = driven.pings()
    driven.pong(first, 1.010)
    driven.pong(second, 1.011)
    assert driven.path.route == Route(endpoint=LAN)


def test_of_two_answers_the_worse_address_does_not_replace_the_first() -> None:
    driven = Driven(LAN, HOME)
    driven.path.want(1.0)
    first, second = driven.pings()
    driven.pong(first, 1.010)
    driven.pong(second, 1.011)
    assert driven.path.route == Route(endpoint=LAN)


def test_without_an_answer_the_search_goes_on_every_second_heartbeat() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    pinged = [at for at, action in driven.advance(20.0) if isinstance(action, SendPing)]
    assert pinged == [0.5, 6.0, 6.5, 12.0, 12.5, 18.0, 18.5]


def test_each_sweep_calls_the_peer_too() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    called = [at for at, action in driven.advance(13.0) if isinstance(action, SendCallMeMaybe)]
    assert called == [6.0, 12.0]


def test_a_peer_without_endpoints_is_called_all_the_same() -> None:
    driven = Driven()
    driven.path.want(0.0)
    assert driven.take() == [SendCallMeMaybe()]


def test_an_unanswered_search_ends_and_the_path_stays_relayed() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.advance(REPEAT_S + PING_TIMEOUT_S)
    assert driven.path.state is PathState.RELAYED


def test_no_candidate_is_pinged_more_than_twice_within_five_seconds() -> None:
    driven = Driven(HOME, LAN)
    driven.path.want(0.0)
    log = [(0.0, action) for action in driven.take()] + driven.advance(40.0)
    for address_of in (HOME, LAN):
        times = [at for at, a in log if isinstance(a, SendPing) and a.address == address_of]
        assert all(
            later - at >= PING_INTERVAL_S for at, later in zip(times, times[2:], strict=False)
        )


def test_a_search_that_was_answered_does_not_ping_again() -> None:
    driven = Driven(HOME, LAN)
    driven.path.want(0.0)
    ping, _ = driven.pings()
    driven.pong(ping, 0.02)
    driven.take()
    assert driven.advance(REPEAT_S) == []


def test_new_endpoints_of_a_wanted_peer_are_pinged_at_once() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    driven.path.set_netmap_endpoints([HOME, LAN], 0.5)
    assert [ping.address for ping in driven.pings()] == [LAN]


def test_new_endpoints_of_a_resting_peer_wait() -> None:
    driven = Driven(HOME)
    driven.path.set_netmap_endpoints([HOME, LAN], 0.5)
    assert driven.take() == []


# -- what the peer does


def test_a_call_me_maybe_pings_all_at_once_but_calls_nobody() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    driven.path.receive_call_me_maybe([LAN], 0.1)
    assert [type(action) for action in driven.take()] == [SendPing, SendPing]


def test_a_called_path_without_traffic_goes_back_to_rest() -> None:
    driven = Driven(HOME)
    driven.path.receive_call_me_maybe([], 0.0)
    [ping] = driven.pings()
    driven.pong(ping, 0.02)
    assert driven.path.state is PathState.DIRECT
    driven.advance(100.0)
    assert driven.path.state is PathState.RELAYED
    assert driven.path.next_timeout() is None


def test_a_ping_from_afar_becomes_a_candidate_and_is_answered() -> None:
    driven = Driven()
    assert driven.path.receive_ping(b"a" * 12, HOME, 0.0)
    assert driven.path.candidates.get(HOME) is not None


def test_a_repeated_ping_is_not_answered() -> None:
    driven = Driven()
    assert driven.path.receive_ping(b"a" * 12, HOME, 0.0)
    assert not driven.path.receive_ping(b"a" * 12, HOME, 0.1)
    assert driven.path.receive_ping(b"a" * 12, LAN, 0.1)
    assert driven.path.receive_ping(b"b" * 12, HOME, 0.2)


def test_a_ping_from_inside_the_tailnet_is_ignored() -> None:
    driven = Driven()
    assert not driven.path.receive_ping(b"a" * 12, address("100.64.0.9"), 0.0)


def test_a_ping_during_a_search_is_pinged_back_at_once() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    driven.path.receive_ping(b"a" * 12, HOME, 0.02)
    assert [ping.address for ping in driven.pings()] == [HOME]


def test_pings_are_not_pinged_back_without_end() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.take()
    for i in range(100):
        driven.path.receive_ping(i.to_bytes(12), HOME, 0.02 + i / 200)
    assert len(driven.pings()) == 1


def test_a_resting_path_does_not_ping_back() -> None:
    driven = Driven(HOME)
    driven.path.receive_ping(b"a" * 12, HOME, 0.0)
    assert driven.take() == []


def test_a_ping_makes_the_path_watch_the_counters_for_a_while() -> None:
    driven = Driven(HOME)
    assert not driven.path.wants_counters(0.0)
    driven.path.receive_ping(b"a" * 12, HOME, 0.0)
    assert driven.path.wants_counters(6.9)
    assert not driven.path.wants_counters(7.1)


# -- keeping it


def test_a_used_path_is_pinged_every_three_seconds() -> None:
    driven = direct_path()
    driven.path.want(0.1)
    for beat in range(1, 6):
        driven.path.want(beat * HEARTBEAT_S - 0.1)
        log = driven.advance(beat * HEARTBEAT_S)
        [(at, ping)] = [(at, a) for at, a in log if isinstance(a, SendPing)]
        assert at == beat * HEARTBEAT_S
        driven.pong(ping, at + 0.02)
    assert driven.path.state is PathState.DIRECT


def test_without_pongs_packets_go_both_ways_after_the_trust_is_over() -> None:
    driven = direct_path()
    driven.advance(0.02 + TRUST_S - 0.01)
    assert driven.path.route == Route(endpoint=HOME)
    driven.advance(0.02 + TRUST_S)
    assert driven.path.route == Route(endpoint=None, copy_to=HOME)
    assert driven.path.state is PathState.UNTRUSTED


def test_a_pong_restores_the_trust() -> None:
    driven = direct_path()
    log = driven.advance(0.02 + TRUST_S)
    ping = [action for _, action in log if isinstance(action, SendPing)][-1]
    driven.pong(ping, 7.0)
    assert driven.path.route == Route(endpoint=HOME)


def test_the_copies_stop_when_nobody_answers_for_long() -> None:
    driven = direct_path()
    driven.advance(0.02 + TRUST_S + DOUBT_S)
    assert driven.path.route == Route()


def test_a_path_without_traffic_goes_to_rest_after_the_next_heartbeat() -> None:
    driven = direct_path()
    end = 0.0
    while driven.path.state is PathState.DIRECT:
        due = driven.path.next_timeout()
        assert due is not None
        end = due
        driven.path.handle_timeout(due)
        for ping in driven.pings():
            driven.pong(ping, due + 0.02)
    assert ACTIVE_S < end <= ACTIVE_S + HEARTBEAT_S
    assert driven.path.route == Route()
    assert driven.path.next_timeout() is None


@pytest.mark.parametrize(("latency_s", "sweeps"), [(0.004, 0), (0.050, 2)])
def test_a_slow_path_looks_for_a_better_one_every_minute(latency_s: float, sweeps: int) -> None:
    driven = direct_path(latency_s=latency_s)
    calls = 0
    while (due := driven.path.next_timeout()) is not None and due < 2 * UPGRADE_INTERVAL_S + 1:
        driven.path.want(due)
        driven.path.handle_timeout(due)
        for action in driven.take():
            calls += isinstance(action, SendCallMeMaybe)
            if isinstance(action, SendPing):
                driven.pong(action, due + latency_s)
    assert calls == sweeps


def test_an_address_that_cannot_be_sent_to_is_left_at_once() -> None:
    driven = direct_path()
    driven.path.send_failed(HOME, 1.0)
    assert driven.path.state is PathState.UNTRUSTED


def test_a_new_network_forgets_the_path_and_searches_anew() -> None:
    driven = direct_path()
    driven.path.forget(1.0)
    assert driven.path.route == Route()
    actions = driven.take()
    assert SetRoute(Route()) in actions
    assert SendCallMeMaybe() in actions
    assert any(isinstance(action, SendPing) for action in actions)


def test_a_path_of_an_earlier_run_is_used_with_doubt_until_a_pong_comes() -> None:
    driven = Driven(HOME)
    driven.path.adopt(HOME, 5.0)
    assert driven.path.route == Route(endpoint=None, copy_to=HOME)
    [ping] = driven.pings()
    driven.pong(ping, 5.02)
    assert driven.path.route == Route(endpoint=HOME)


# -- what the device counts


def test_traffic_that_the_counters_show_wakes_a_resting_path() -> None:
    driven = Driven(HOME)
    driven.path.note_counters(0, 0, None, 0.0)
    driven.path.note_counters(100, 0, None, 1.0)
    assert driven.path.is_active(1.0)
    assert any(isinstance(action, SendPing) for action in driven.take())


def test_the_first_look_is_no_traffic() -> None:
    driven = Driven(HOME)
    driven.path.note_counters(5000, 5000, None, 0.0)
    assert not driven.path.is_active(0.0)


def test_a_path_that_only_takes_is_checked_and_left_within_a_second() -> None:
    driven = direct_path()
    driven.path.note_counters(1000, 1000, HOME, 1.0)
    driven.path.note_counters(1000, 2000, HOME, 1.5)
    assert len(driven.pings()) == 1
    log = driven.advance(1.5 + (CHECKS - 1) * CHECK_MIN_S + 0.001)
    assert len(log) == CHECKS - 1
    assert driven.path.state is PathState.DIRECT
    driven.advance(1.5 + CHECKS * CHECK_MIN_S + 0.001)
    assert driven.path.state is PathState.UNTRUSTED


def test_one_slow_answer_does_not_make_checks_patient() -> None:
    driven = direct_path(latency_s=0.02)
    [ping] = [a for _, a in driven.advance(HEARTBEAT_S) if isinstance(a, SendPing)]
    driven.pong(ping, HEARTBEAT_S + 0.9)
    driven.path.note_counters(1000, 1000, HOME, 4.0)
    driven.path.note_counters(1000, 2000, HOME, 4.5)
    driven.advance(4.5 + CHECKS * CHECK_MIN_S + 0.001)
    assert driven.path.state is PathState.UNTRUSTED


def test_a_far_peer_is_given_its_time() -> None:
    driven = direct_path(latency_s=0.5)
    driven.path.note_counters(1000, 1000, HOME, 1.0)
    driven.path.note_counters(1000, 2000, HOME, 1.5)
    driven.advance(1.5 + CHECKS * 0.7)
    assert driven.path.state is PathState.DIRECT


def test_a_checked_path_that_answers_stays() -> None:
    driven = direct_path()
    driven.path.note_counters(1000, 1000, HOME, 1.0)
    driven.path.note_counters(1000, 2000, HOME, 1.5)
    [ping] = driven.pings()
    driven.pong(ping, 1.52)
    driven.advance(2.9)
    assert driven.path.state is PathState.DIRECT


def test_a_check_is_called_off_when_packets_come() -> None:
    driven = direct_path()
    driven.path.note_counters(1000, 1000, HOME, 1.0)
    driven.path.note_counters(1000, 2000, HOME, 1.5)
    driven.path.note_counters(1500, 2000, HOME, 1.6)
    driven.advance(2.9)
    assert driven.path.state is PathState.DIRECT


def test_a_one_way_stream_is_checked_once_a_second_at_most() -> None:
    driven = direct_path()
    pings = 0
    for i in range(20):
        driven.path.note_counters(1000, 1000 * i, HOME, 1.0 + i / 10)
        for ping in driven.pings():
            pings += 1
            driven.pong(ping, 1.0 + i / 10 + 0.01)
    assert pings == 2


def test_data_through_the_relay_raises_a_doubt_that_a_pong_settles() -> None:
    driven = direct_path()
    driven.path.note_relayed(1.0)
    [ping] = driven.pings()
    driven.pong(ping, 1.02)
    driven.advance(2.9)
    assert driven.path.state is PathState.DIRECT


def test_data_through_the_relay_and_no_pong_end_the_trust_though_bytes_are_counted() -> None:
    driven = direct_path()
    driven.path.note_counters(1000, 1000, HOME, 0.9)
    driven.path.note_relayed(1.0)
    driven.path.note_counters(2000, 2000, HOME, 1.1)
    driven.advance(1.6)
    assert driven.path.state is PathState.UNTRUSTED


# -- roaming


def test_a_new_address_that_answers_becomes_the_path_and_is_not_fought() -> None:
    driven = Driven(HOME, LAN)
    driven.path.want(0.0)
    to_home, to_lan = driven.pings()
    driven.pong(to_lan, 0.010)
    driven.pong(to_home, 0.011)
    assert driven.path.route == Route(endpoint=LAN)
    driven.take()
    driven.path.note_counters(0, 0, HOME, 1.0)  # the peer sends from there
    [ping] = driven.pings()
    driven.pong(ping, 1.02)
    assert driven.path.route == Route(endpoint=HOME)
    driven.path.note_counters(0, 0, HOME, 2.0)
    driven.path.receive_call_me_maybe([LAN], 3.0)
    for ping in driven.pings():
        driven.pong(ping, 3.01)
    assert driven.path.route == Route(endpoint=HOME)


def test_a_new_address_that_does_not_answer_is_put_back_after_five_seconds() -> None:
    driven = direct_path()
    elsewhere = address("198.51.100.9")
    put_back: list[float] = []
    for i in range(16):
        now = 0.5 + i / 2
        driven.path.want(now)
        driven.path.note_counters(i, i, elsewhere, now)
        for action in driven.take():
            if isinstance(action, SendPing) and action.address == HOME:
                driven.pong(action, now)
            if isinstance(action, SetRoute):
                put_back.append(now)
        driven.path.handle_timeout(now)
        for action in driven.take():
            if isinstance(action, SendPing) and action.address == HOME:
                driven.pong(action, now)
    assert put_back == [6.0]


def test_an_endpoint_that_fell_back_to_the_proxy_is_put_right_once_a_second() -> None:
    driven = direct_path()
    put_right = 0
    for i in range(10):
        driven.path.note_counters(0, 0, None, 2.0 + i / 4)
        put_right += sum(isinstance(action, SetRoute) for action in driven.take())
    assert put_right == 3


def test_a_path_that_rests_puts_a_roamed_endpoint_back() -> None:
    driven = Driven(HOME)
    driven.path.want(0.0)
    driven.path.note_counters(0, 0, HOME, 1.0)
    driven.take()
    driven.path.note_counters(0, 0, HOME, 2.0)
    log = driven.advance(60.0)
    assert log[-1][1] == SetRoute(Route())
    assert driven.path.wants_counters(log[-1][0] + 1.0)
