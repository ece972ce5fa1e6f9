import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.stun import encode_response, parse_request
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion, EndpointType
from appliance.underlay import survey as survey_module
from appliance.underlay.config import NO_REGION
from appliance.underlay.survey import Survey
from tests.support.underlay import (
    PORT,
    address,
    counting_bytes,
    derp_map,
    open_socket,
    region,
    tls_relay,
)

US = address("203.0.113.7:50001")


class StunWorld:
    """A port whose requests the test's servers answer, or do not."""

    has_ipv6 = True

    def __init__(self) -> None:
        self.survey: Survey | None = None
        self.seen_by: dict[str, AddrPort] = {}
        self.delay_s: dict[str, float] = {}
        self.asked: list[AddrPort] = []
        self.changes = 0

    def send(self, to: AddrPort, payload: bytes) -> bool:
        self.asked.append(to)
        seen = self.seen_by.get(str(to.ip))
        if seen is not None:
            answer = encode_response(parse_request(payload), seen)
            loop = asyncio.get_running_loop()
            loop.call_later(self.delay_s.get(str(to.ip), 0.0), self._answer, answer)
        return True

    def source_for(self, to: IPAddress) -> IPAddress | None:
        return IPv4Address("192.0.2.99") if to.version == 4 else None

    def _answer(self, answer: bytes) -> None:
        assert self.survey is not None
        self.survey.receive(answer, asyncio.get_running_loop().time())


def changed(world: StunWorld) -> None:
    world.changes += 1


def surveyed(world: StunWorld, relay_map: DerpMap) -> Survey:
    world.survey = Survey(
        world,
        open_socket,
        counting_bytes(),
        lambda _: float("-inf"),
        lambda: changed(world),
    )
    world.survey.configure(relay_map, PORT)
    return world.survey


async def test_a_measurement_gives_endpoints_home_and_description() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US, "192.0.2.2": US}
    world.delay_s = {"192.0.2.1": 0.05}
    survey = surveyed(world, derp_map(region(1), region(2)))
    await survey.measure()
    assert survey.endpoints[0].address == US
    assert survey.endpoints[0].kind is EndpointType.STUN
    assert survey.home == 2
    assert survey.net_info is not None
    assert survey.net_info.mapping_varies_by_dest_ip is False
    assert survey.net_info.preferred_derp == 2
    assert survey.is_fresh(asyncio.get_running_loop().time())


async def test_a_single_region_is_home_before_anything_is_measured() -> None:
    survey = surveyed(StunWorld(), derp_map(region(1)))
    assert survey.home == 1


async def test_with_a_choice_of_regions_home_waits_for_the_measurement() -> None:
    survey = surveyed(StunWorld(), derp_map(region(1), region(2)))
    assert survey.home == NO_REGION


async def test_two_callers_share_one_measurement() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US}
    survey = surveyed(world, derp_map(region(1)))
    await asyncio.gather(survey.measure(), survey.measure())
    assert len(world.asked) == 1


async def test_endpoints_are_known_at_the_first_answer() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US}
    survey = surveyed(world, derp_map(region(1), region(2)))
    async with asyncio.TaskGroup() as tasks:
        measuring = tasks.create_task(survey.measure(), name="measure")
        await asyncio.sleep(0)
        await survey.first_answer(2.0)
        assert survey.endpoints[0].address == US
        assert not measuring.done()
        measuring.cancel()


async def test_a_running_measurement_withdraws_nothing() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US, "192.0.2.2": address("203.0.113.7:50002")}
    survey = surveyed(world, derp_map(region(1), region(2)))
    await survey.measure()
    offered = {e.address for e in survey.endpoints}
    assert address("203.0.113.7") in offered  # the guess of a hard NAT
    world.delay_s = {"192.0.2.2": 0.1}
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(survey.measure(full=True), name="measure")
        await asyncio.sleep(0.05)
        assert {e.address for e in survey.endpoints} == offered


async def test_without_udp_the_relay_is_measured_over_https(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        world = StunWorld()
        survey = surveyed(world, relay.map())
        await survey.measure()
        assert survey.home == 1
        assert survey.net_info is not None
        assert survey.net_info.working_udp is False
        assert list(survey.net_info.derp_latency or {}) == ["1-v4"]
        assert all(e.kind is not EndpointType.STUN for e in survey.endpoints)


async def test_a_short_report_asks_home_and_the_three_nearest() -> None:
    world = StunWorld()
    world.seen_by = {f"192.0.2.{i}": US for i in range(1, 7)}
    world.delay_s = {f"192.0.2.{i}": 0.01 * i for i in range(1, 7)}
    survey = surveyed(world, derp_map(*(region(i) for i in range(1, 7))))
    await survey.measure()
    world.asked.clear()
    await survey.measure()
    assert {str(to.ip) for to in world.asked} == {"192.0.2.1", "192.0.2.2", "192.0.2.3"}


async def test_a_new_relay_map_is_measured_by_itself() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US, "192.0.2.2": US}
    survey = surveyed(world, derp_map(region(1)))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(survey.run(lambda: False), name="survey")
        await until(lambda: survey.net_info is not None)
        survey.configure(derp_map(region(2)), PORT)
        await until(lambda: survey.home == 2 and len(world.asked) == 2)
        running.cancel()


async def test_it_measures_again_only_while_there_is_traffic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(survey_module, "RESTUN_S", (0.01, 0.02))
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US}
    survey = surveyed(world, derp_map(region(1)))
    active = True
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(survey.run(lambda: active), name="survey")
        await until(lambda: len(world.asked) >= 3)
        active = False
        await asyncio.sleep(0.1)
        asked = len(world.asked)
        await asyncio.sleep(0.1)
        assert len(world.asked) == asked
        survey.note_traffic(asyncio.get_running_loop().time())
        await until(lambda: len(world.asked) > asked)
        running.cancel()


async def test_a_new_network_makes_old_addresses_stale() -> None:
    world = StunWorld()
    world.seen_by = {"192.0.2.1": US}
    survey = surveyed(world, derp_map(region(1)))
    await survey.measure()
    survey.forget()
    assert not survey.is_fresh(asyncio.get_running_loop().time())
    world.seen_by = {"192.0.2.1": address("198.51.100.7:1")}
    await survey.measure()
    assert US not in {e.address for e in survey.endpoints}


async def test_nonsense_in_the_relay_map_is_not_asked() -> None:
    world = StunWorld()
    nodes = [
        DerpNode(name=str(port), region_id=1, host_name="192.0.2.1", stun_port=port)
        for port in (-1, 65_536, 1 << 40)
    ]
    relay_map = derp_map(DerpRegion(region_id=1, nodes=tuple(nodes)), region(2, "x" * 300))
    survey = surveyed(world, relay_map)
    await survey.measure()
    assert world.asked == []


async def test_garbage_is_no_answer() -> None:
    world = StunWorld()
    survey = surveyed(world, derp_map(region(1)))
    survey.receive(b"\x01\x01\x00\x00\x21\x12\xa4\x42", 0.0)
    survey.receive(encode_response(b"x" * 12, US), 0.0)
    assert survey.endpoints == ()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the survey has no event to wait for
            await asyncio.sleep(0.005)
