import itertools

from appliance.protocol.addresses import AddrPort
from appliance.protocol.stun import Response, parse_request
from appliance.underlay.netcheck import (
    PROBE_TIMEOUT_S,
    TRIES,
    TRY_SPACING_S,
    Netcheck,
    Report,
    Target,
    is_same_network,
    net_info,
)
from tests.support.underlay import address

NEAR, FAR, THIRD = address("192.0.2.1:3478"), address("192.0.2.2:3478"), address("192.0.2.3:3478")
NEAR_V6 = address("[2001:db8::1]:3478")
US, US_TOO = address("203.0.113.7:41641"), address("203.0.113.7:50000")


class Measured:
    """A netcheck, and the servers that it asked."""

    def __init__(self, *targets: tuple[int, AddrPort]) -> None:
        numbers = itertools.count(1)
        self.check = Netcheck(
            [Target(region, server) for region, server in targets],
            lambda: next(numbers).to_bytes(12),
            0.0,
        )
        self.asked: list[tuple[float, AddrPort, bytes]] = []

    def ask(self, now: float) -> list[AddrPort]:
        requests = self.check.requests_due(now)
        self.asked += [(now, server, parse_request(data)) for server, data in requests]
        return [server for server, _ in requests]

    def answer(self, server: AddrPort, now: float, seen: AddrPort = US) -> bool:
        tx_id = next(tx for _, asked, tx in reversed(self.asked) if asked == server)
        return self.check.receive(Response(tx_id, seen), now)


def test_every_region_is_asked_at_once() -> None:
    measured = Measured((1, NEAR), (2, FAR))
    assert measured.ask(0.0) == [NEAR, FAR]


def test_a_silent_server_is_asked_three_times() -> None:
    measured = Measured((1, NEAR))
    for i in range(6):
        measured.ask(i * TRY_SPACING_S)
    assert len(measured.asked) == TRIES


def test_an_answered_region_is_not_asked_again() -> None:
    measured = Measured((1, NEAR), (2, FAR))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    assert measured.ask(TRY_SPACING_S) == [FAR]


def test_the_servers_of_a_region_are_asked_in_turn() -> None:
    measured = Measured((1, NEAR), (1, FAR))
    asked = [measured.ask(i * TRY_SPACING_S) for i in range(3)]
    assert asked == [[NEAR], [FAR], [NEAR]]


def test_it_is_done_when_all_have_answered() -> None:
    measured = Measured((1, NEAR), (2, FAR))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    assert not measured.check.is_done(0.02)
    measured.answer(FAR, 0.05)
    assert measured.check.is_done(0.05)
    assert measured.check.report().region_latency_s() == {1: 0.02, 2: 0.05}


def test_a_family_that_does_not_answer_is_not_waited_for_long() -> None:
    measured = Measured((1, NEAR), (1, NEAR_V6))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    assert not measured.check.is_done(0.1)
    assert measured.check.is_done(0.13)


def test_three_regions_are_enough_after_twice_the_slowest() -> None:
    servers = [(i, address(f"192.0.2.{i}:3478")) for i in range(1, 6)]
    measured = Measured(*servers)
    measured.ask(0.0)
    for i in (1, 2, 3):
        measured.answer(address(f"192.0.2.{i}:3478"), 0.1 * i)
    assert not measured.check.is_done(0.8)
    assert measured.check.is_done(0.91)


def test_silence_ends_after_three_seconds() -> None:
    measured = Measured((1, NEAR))
    measured.ask(0.0)
    assert not measured.check.is_done(PROBE_TIMEOUT_S)
    assert measured.check.is_done(PROBE_TIMEOUT_S + TRIES * TRY_SPACING_S)
    assert not measured.check.report().udp


def test_nobody_to_ask_is_done_at_once() -> None:
    assert Measured().check.is_done(0.0)


def test_a_strangers_answer_is_ignored() -> None:
    measured = Measured((1, NEAR))
    measured.ask(0.0)
    assert not measured.check.receive(Response(b"x" * 12, US), 0.01)
    assert measured.answer(NEAR, 0.02)
    assert not measured.answer(NEAR, 0.03)


def test_two_servers_that_see_us_alike_mean_an_easy_nat() -> None:
    measured = Measured((1, NEAR), (2, FAR))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    measured.answer(FAR, 0.02)
    assert measured.check.report().mapping_varies is False
    assert measured.check.report().mapped_v4 == (US,)


def test_two_servers_that_see_us_differently_mean_a_hard_nat() -> None:
    measured = Measured((1, NEAR), (2, FAR))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    measured.answer(FAR, 0.02, US_TOO)
    assert measured.check.report().mapping_varies is True
    assert measured.check.report().mapped_v4 == (US, US_TOO)


def test_one_server_cannot_tell() -> None:
    measured = Measured((1, NEAR), (1, NEAR_V6))
    measured.ask(0.0)
    measured.answer(NEAR, 0.02)
    measured.answer(NEAR_V6, 0.02, address("[2001:db8::7]:41641"))
    assert measured.check.report().mapping_varies is None
    assert measured.check.report().mapped_v6 == (address("[2001:db8::7]:41641"),)


def test_the_coordinator_is_told_in_its_own_words() -> None:
    report = Report({(1, 4): 0.02, (1, 6): 0.03}, (US,), (), mapping_varies=False)
    info = net_info(report, 1, os_has_ipv6=True, udp=True)
    assert info.derp_latency == {"1-v4": 0.02, "1-v6": 0.03}
    assert (info.preferred_derp, info.working_udp, info.working_ipv6) == (1, True, False)


def test_latency_alone_is_no_news() -> None:
    one = net_info(Report({(1, 4): 0.02}), 1, os_has_ipv6=True, udp=True)
    two = net_info(Report({(1, 4): 0.03}), 1, os_has_ipv6=True, udp=True)
    moved = net_info(Report({(1, 4): 0.03}), 2, os_has_ipv6=True, udp=True)
    assert is_same_network(one, two)
    assert not is_same_network(one, moved)
    assert not is_same_network(None, one)
