"""The watch with a gateway in memory; what would be sent is answered by the test."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.agent import probes
from appliance.agent import watch as module
from appliance.agent.plan.gateway import plan_gateway
from appliance.agent.plan.inputs import Inputs
from appliance.agent.routefacts import EXIT
from appliance.agent.watch import Watch
from appliance.gateway.config import Flow
from appliance.gateway.fake import FakeGateway
from appliance.gateway.profile import Setting
from appliance.host.probe import SILENCE, Answer, Outcome
from appliance.protocol.addresses import IPAddress
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion
from tests.support.netmaps import DEFAULTS, LAN, inputs, node

HOST = ip_address("192.168.1.1")
HOME = node(2, "home", LAN, *DEFAULTS)


class Network:
    """Answers echoes to the hosts that are there."""

    def __init__(self, *hosts: IPAddress) -> None:
        self.hosts = set(hosts)
        self.asked: list[tuple[IPAddress, ...]] = []
        self.knocked = 0

    async def echo(
        self, hosts: Iterable[IPAddress], _timeout_s: float, interface: str
    ) -> dict[IPAddress, Answer]:
        assert interface == "latchkey0"
        asked = tuple(hosts)
        self.asked.append(asked)
        return {
            host: Answer(Outcome.ANSWERED, host, 0.01) if host in self.hosts else SILENCE
            for host in asked
        }

    async def knock(self, *_: object) -> Answer:
        self.knocked += 1
        return SILENCE


async def watching(
    given: Inputs, network: Network, monkeypatch: pytest.MonkeyPatch
) -> tuple[Watch, FakeGateway]:
    monkeypatch.setattr(module, "echo", network.echo)
    monkeypatch.setattr(module, "knock", network.knock)
    monkeypatch.setattr(module, "read_connections", list)
    gateway = FakeGateway()
    await gateway.apply(plan_gateway(given))
    watch = Watch(gateway, "latchkey0")
    await watch.look(given)
    return watch, gateway


GIVEN = inputs(node(1, "me"), HOME, accept_routes=True)
KEY = ("n2", str(LAN))


async def test_a_probe_that_comes_back_proves_the_route(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = await watching(GIVEN, Network(HOST), monkeypatch)
    assert not watch.routes(GIVEN)[0].proven.ok
    await watch.probe(GIVEN, [KEY])
    proven = watch.routes(GIVEN)[0].proven
    assert proven.ok
    assert "192.168.1.1 answered" in proven.evidence


async def test_where_all_are_silent_one_is_knocked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    watch, _ = await watching(GIVEN, network, monkeypatch)
    await watch.probe(GIVEN, [KEY])
    assert network.knocked == 2
    assert "Nobody answered" in watch.routes(GIVEN)[0].proven.evidence


async def test_a_host_that_answered_is_asked_first_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, chosen = Network(ip_address("192.168.1.77")), ip_address("192.168.1.77")
    watch, _ = await watching(GIVEN, network, monkeypatch)
    await watch.probe(GIVEN, [KEY], [chosen])
    await watch.probe(GIVEN, [KEY])
    assert [asked[0] for asked in network.asked] == [chosen, chosen]


async def test_a_proof_ends_when_the_route_stops_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = await watching(GIVEN, Network(HOST), monkeypatch)
    await watch.probe(GIVEN, [KEY])
    offline = replace(
        GIVEN, netmap=replace(GIVEN.netmap, peers={2: node(2, "home", LAN, online=False)})
    )
    assert not watch.routes(offline)[0].proven.ok
    assert not watch.routes(GIVEN)[0].proven.ok, "back again, it must be proven anew"


async def test_without_relays_an_exit_node_is_asked_for_ipv6_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = inputs(node(1, "me"), HOME, exit_node="home")
    network = Network()
    watch, _ = await watching(given, network, monkeypatch)
    await watch.probe(given, [("n2", EXIT)])
    assert network.asked == [(ip_address("2001:db8::1"),)]
    assert watch.exit_ipv6 == {"n2": "unknown"}


async def test_what_an_exit_node_left_open_is_soon_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its IPv4 is proven, so nothing else makes the watch look again before a minute is over."""
    given = inputs(node(1, "me"), HOME, exit_node="home")
    relay = DerpNode(name="1a", region_id=1, host_name="198.51.100.7", ipv4="198.51.100.7")
    regions = {1: DerpRegion(region_id=1, region_code="lab", nodes=(relay,))}
    given = replace(given, netmap=replace(given.netmap, derp_map=DerpMap(regions=regions)))
    network = Network(ip_address("198.51.100.7"))
    monkeypatch.setattr(module, "echo", network.echo)
    monkeypatch.setattr(module, "read_connections", list)
    monkeypatch.setattr(probes, "_HALF_AGAIN_S", (0.01,))
    gateway = FakeGateway()
    await gateway.apply(plan_gateway(given))
    watch = Watch(gateway, "latchkey0")
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            await watch.run(lambda: given)
    assert watch.sight.proofs["n2", EXIT].ok
    assert len(network.asked) > 2


async def test_what_is_disconnected_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, _ = await watching(GIVEN, Network(HOST), monkeypatch)
    await watch.probe(GIVEN, [KEY])
    watch.forget()
    assert watch.sight.gateway is None
    assert not watch.routes(GIVEN)[0].serving.ok


class Counting(FakeGateway):
    """Counts the looks that cost something."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []

    async def flows(self) -> tuple[Flow, ...]:
        self.looks.append("flows")
        return await super().flows()

    async def profile(self) -> tuple[Setting, ...]:
        self.looks.append("profile")
        return await super().profile()


async def looks_during(seconds: float, given: Inputs, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """What the watch looked at in so many hundredths of its usual time."""
    monkeypatch.setattr(module, "echo", Network(HOST).echo)
    monkeypatch.setattr(module, "read_connections", list)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    gateway = Counting()
    await gateway.apply(plan_gateway(given))
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await Watch(gateway, "latchkey0").run(lambda: given)
    return gateway


async def test_connections_are_read_by_those_who_serve_a_route_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (await looks_during(0.1, GIVEN, monkeypatch)).looks == ["profile"]


async def test_until_its_routes_are_proven_a_router_looks_often_at_connections_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = inputs(node(1, "me", LAN), advertise_routes=(str(LAN),))
    gateway = await looks_during(0.2, served, monkeypatch)
    assert gateway.looks[:3] == ["profile", "flows", "flows"]


async def test_a_router_whose_routes_are_proven_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    served = inputs(node(1, "me", LAN), advertise_routes=(str(LAN),))
    flow = Flow(ip_address("100.64.0.2"), HOST, 6, 80, answered=True)
    monkeypatch.setattr(FakeGateway, "flows", lambda _: _returned((flow,)))
    gateway = await looks_during(0.1, served, monkeypatch)
    assert gateway.looks == ["profile", "flows"]


async def _returned(flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    return flows
