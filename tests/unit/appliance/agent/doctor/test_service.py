from collections.abc import Iterable, Mapping
from ipaddress import ip_address

import msgspec
import pytest

from appliance.agent.doctor.reach import Kind
from appliance.agent.doctor.service import Condition, examine, explain, find_target
from appliance.agent.plan.inputs import Inputs
from appliance.host.probe import SILENCE, Answer, Outcome
from appliance.protocol.addresses import IPAddress
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import PingResult, Relayed
from tests.support.netmaps import DEFAULTS, LAN, inputs, nets, node

FAR = nets("10.9.0.0/24")[0]
HOME = node(2, "home", FAR, *DEFAULTS, endpoints=("10.9.0.10:41641",))


class FakeAsker:
    """Answers for the peers and hosts that a test names."""

    def __init__(self, *hosts: str, pong: bool = True) -> None:
        self._hosts = {ip_address(host) for host in hosts}
        self._pong = pong
        self.asked: list[tuple[tuple[IPAddress, ...], str]] = []

    async def ping(self, _peer: Node, _timeout_s: float) -> PingResult | None:
        return PingResult(Relayed(1), 0.05) if self._pong else None

    async def ask(self, hosts: Iterable[IPAddress], interface: str) -> Mapping[IPAddress, Answer]:
        asked = tuple(hosts)
        self.asked.append((asked, interface))
        return {
            host: Answer(Outcome.ANSWERED, host, 0.01) if host in self._hosts else SILENCE
            for host in asked
        }


def given(**prefs: object) -> Inputs:
    return inputs(node(1, "me"), HOME, lan=(LAN,), **{"accept_routes": True, **prefs})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("home", Kind.PEER),
        ("100.64.0.2", Kind.PEER),
        ("10.9.0.20", Kind.LAN),
        ("192.168.1.7", Kind.ATTACHED),
        ("203.0.113.9", Kind.NOTHING),
        ("no name at all", Kind.NOTHING),
    ],
)
async def test_a_target_is_what_this_node_knows_it_as(text: str, kind: Kind) -> None:
    assert (await find_target(given(), text)).kind is kind


async def test_a_published_host_is_one_behind_the_router() -> None:
    addresses = (*(HOME.addresses or ()), *nets("10.9.0.20/32", "10.8.0.1/32"))
    publisher = msgspec.structs.replace(HOME, addresses=addresses)
    known = inputs(node(1, "me"), publisher, lan=(LAN,), accept_routes=True)
    assert (await find_target(known, "10.9.0.20")).kind is Kind.LAN
    assert (await find_target(known, "10.8.0.1")).kind is Kind.PEER
    assert (await find_target(known, "100.64.0.2")).kind is Kind.PEER


async def test_behind_an_exit_node_the_internet_is_a_target() -> None:
    assert (await find_target(given(exit_node="home"), "203.0.113.9")).kind is Kind.INTERNET


async def test_what_this_node_carries_is_its_own() -> None:
    found = await find_target(given(advertise_routes=("auto",)), "192.168.1.7")
    assert (found.kind, found.prefix) == (Kind.OWN_LAN, LAN)


async def test_a_host_behind_a_router_is_asked_through_the_tunnel_with_others_there() -> None:
    asker = FakeAsker("10.9.0.20")
    report = await explain(Condition(given(), connected=True), "10.9.0.20", asker)
    [(hosts, interface)] = asker.asked
    assert interface == "latchkey0"
    assert hosts[0] == ip_address("10.9.0.20")
    assert {ip_address("10.9.0.10"), ip_address("10.9.0.1"), ip_address("100.64.0.2")} < set(hosts)
    assert report.target == "10.9.0.20"


async def test_an_own_network_is_asked_by_its_cable() -> None:
    asker = FakeAsker()
    report = await explain(Condition(given(), connected=True), "192.168.1.7", asker)
    assert asker.asked == [((ip_address("192.168.1.7"),), "")]
    assert report.broken == "lan"


async def test_what_a_peer_may_reach_here_is_told_with_the_peer() -> None:
    report = await explain(Condition(given(), connected=True), "home", FakeAsker("100.64.0.2"))
    assert report.code == "ok"
    assert report.items[-1].evidence == "The policy lets home reach nothing here."


async def test_nothing_is_sent_while_not_connected() -> None:
    asker = FakeAsker()
    report = await explain(Condition(given()), "home", asker)
    assert report.broken == "online"
    assert asker.asked == []


async def test_a_node_that_never_joined_says_how_to() -> None:
    report = await explain(Condition(None), "home", FakeAsker())
    assert "latchkey up" in report.verdict


def test_a_healthy_node_is_told_so() -> None:
    assert examine(Condition(given())).verdict == "Nothing is wrong with this node."
