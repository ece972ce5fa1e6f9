from appliance.agent.traffic import STEPS, TrafficLog
from appliance.host.medium import Counters


class Tunnel:
    def __init__(self) -> None:
        self.counters: Counters | None = None

    def read(self) -> Counters | None:
        return self.counters


def test_each_step_is_what_came_since_the_one_before() -> None:
    tunnel = Tunnel()
    log = TrafficLog(tunnel.read)
    for counters in (Counters(100, 10), Counters(150, 10), Counters(150, 40)):
        tunnel.counters = counters
        log.take()
    assert log.traffic().rx_bytes == (100, 50, 0)
    assert log.traffic().tx_bytes == (10, 0, 30)


def test_without_a_tunnel_nothing_goes_through_it_and_a_new_one_counts_from_zero() -> None:
    tunnel = Tunnel()
    log = TrafficLog(tunnel.read)
    for counters in (Counters(1000, 1000), None, Counters(7, 8), Counters(5, 9)):
        tunnel.counters = counters
        log.take()
    assert log.traffic().rx_bytes == (1000, 0, 7, 5)
    assert log.traffic().tx_bytes == (1000, 0, 8, 9)


def test_an_hour_is_kept() -> None:
    log = TrafficLog(lambda: None)
    for _ in range(STEPS + 5):
        log.take()
    assert len(log.traffic().rx_bytes) == STEPS
    assert log.traffic().step_s * STEPS == 3600
