import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.fake import FakeDataplane
from appliance.protocol.addresses import AddrPort
from appliance.underlay.devicewatch import (
    CLOSELY_S,
    MAX_PAUSE_S,
    SLOWLY_S,
    DeviceWatch,
    pause_after,
)
from appliance.underlay.discovery import Discovery, RouteChanged, SendDatagram
from appliance.underlay.loopback import Loopback
from appliance.underlay.pathstate import Route
from tests.support.underlay import address, config, counting_bytes, node_key, peer

HOME = peer("home", "203.0.113.1")
CONFIG = config("laptop", HOME)


class Watched:
    """A watch whose timers the test fires."""

    def __init__(self) -> None:
        self.device = FakeDataplane()
        self.discovery = Discovery(counting_bytes())
        self.loopback = Loopback(lambda *_: None, {})
        self.watch = DeviceWatch(self.device, self.discovery, self.loopback, self.later)
        self.timers: list[tuple[float, Callable[[], None]]] = []

    async def start(self, endpoint: AddrPort | None = None) -> None:
        self.loopback.set_peers({HOME.key}, 9)
        self.discovery.apply(CONFIG, self.now() - 60)  # long ago: it rests
        await self.device.open()
        proxy = self.loopback.address_of(HOME.key)
        allowed = frozenset({ip_network("100.64.0.2/32")})
        wanted = {HOME.key: PeerConfig(HOME.key, allowed, endpoint or proxy)}
        await self.device.apply(DataplaneConfig(node_key("laptop"), 9, 0, 1280, (), wanted))
        self.device.changes.clear()

    def later(self, delay_s: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append((delay_s, work))
        return asyncio.get_running_loop().call_later(delay_s, lambda: None)

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("cost_s", "closely", "pause_s"),
    [
        (0.0002, True, CLOSELY_S),
        (0.0002, False, SLOWLY_S),
        (0.003, True, 1.0),
        (0.003, False, SLOWLY_S),
        (0.8, True, MAX_PAUSE_S),
    ],
)
def test_a_costly_look_is_taken_less_often(cost_s: float, pause_s: float, *, closely: bool) -> None:
    assert pause_after(cost_s, closely=closely) == pytest.approx(pause_s)


async def test_nobody_looks_while_every_path_is_at_rest() -> None:
    watched = Watched()
    await watched.start()
    assert not watched.watch.arm(lambda: None)
    assert watched.timers == []
    watched.loopback.close()


async def test_one_look_at_a_time_and_the_next_one_sooner_when_the_path_gets_direct() -> None:
    watched = Watched()
    await watched.start()
    watched.discovery.want(HOME.key, watched.now())
    watched.watch.arm(lambda: None)
    watched.watch.arm(lambda: None)
    assert [delay for delay, _ in watched.timers] == [SLOWLY_S]
    path = watched.discovery._peers[HOME.key].path
    [ping, *_] = path._sent
    path.receive_pong(ping, watched.now())
    watched.watch.arm(lambda: None)
    assert [delay for delay, _ in watched.timers] == [SLOWLY_S, CLOSELY_S]
    watched.watch.stop()
    watched.loopback.close()


async def test_a_look_tells_the_paths_what_moved() -> None:
    watched = Watched()
    await watched.start()
    watched.discovery.want(HOME.key, watched.now())
    watched.discovery.take_effects()
    told: list[bool] = []
    watched.watch.arm(lambda: told.append(True))
    watched.device.pretend(HOME.key, endpoint=address("198.51.100.9"), rx_bytes=5)
    watched.timers[0][1]()
    assert told == [True]
    pings = [e for e in watched.discovery.take_effects() if isinstance(e, SendDatagram)]
    assert [e.address for e in pings] == [address("198.51.100.9")]
    watched.loopback.close()


async def test_a_lively_endpoint_of_an_earlier_run_is_taken_over() -> None:
    watched = Watched()
    await watched.start(address("203.0.113.1"))
    watched.device.pretend(HOME.key, last_handshake=datetime.now(UTC).timestamp() - 60)
    watched.watch.take_over(CONFIG)
    effects = watched.discovery.take_effects()
    assert RouteChanged(HOME.key, Route(copy_to=address("203.0.113.1"))) in effects
    assert watched.device.changes == []
    watched.loopback.close()


async def test_a_dead_endpoint_of_an_earlier_run_gives_way_to_the_proxy() -> None:
    watched = Watched()
    await watched.start(address("203.0.113.1"))
    watched.device.pretend(HOME.key, last_handshake=datetime.now(UTC).timestamp() - 600)
    watched.watch.take_over(CONFIG)
    assert watched.discovery.take_effects() == []
    proxy = watched.loopback.address_of(HOME.key)
    assert watched.device.changes == [("endpoint", HOME.key, proxy)]
    watched.loopback.close()


async def test_a_proxy_that_could_not_be_bound_again_is_replaced() -> None:
    watched = Watched()
    await watched.start(address("127.0.0.1:1"))
    watched.watch.take_over(CONFIG)
    proxy = watched.loopback.address_of(HOME.key)
    assert watched.device.changes == [("endpoint", HOME.key, proxy)]
    watched.loopback.close()
