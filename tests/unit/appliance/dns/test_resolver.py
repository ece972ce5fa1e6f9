import socket
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from appliance.dns import plain
from appliance.dns.config import STUB_V4, DnsConfig, ExitNode, HostResolvers, Nobody, Resolvers
from appliance.dns.resolver import HostAnswers, Resolver, bound_to
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort
from tests.support.dnsmessages import query, reply_to
from tests.support.dnsservers import name_server

CONFIG = DnsConfig("", 0, (STUB_V4,), direct_names=frozenset({"mesh.example.org"}))
LAN = ip_network("192.168.1.0/24")


def good(data: bytes, _: str) -> list[bytes]:
    return [reply_to(data, bytes(4))]


def silent(_: bytes, __: str) -> list[bytes]:
    return []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "TRY_S", 0.05)
    monkeypatch.setattr(plain, "TOTAL_S", 0.15)


async def answer(resolver: Resolver, name: str = "web.example") -> int:
    return dns.rcode_of(await resolver.resolve(query(name)))


async def test_named_resolvers_are_asked_and_silence_is_told_until_they_answer() -> None:
    async with name_server(silent) as server:
        resolver = Resolver(tuple)
        await resolver.apply(replace(CONFIG, upstream=Resolvers((server.address,))))
        assert resolver.problem == ""
        assert await answer(resolver) == dns.SERVER_FAILURE
        assert "127.0.0.1 did not answer. Nobody else is asked" in resolver.problem
        server.behave = good
        assert await answer(resolver) == dns.NO_ERROR
        assert resolver.problem == ""


async def test_the_coordinators_name_is_asked_of_the_hosts_own_servers() -> None:
    async with name_server(good) as own, name_server(good) as named:
        resolver = Resolver(lambda: (own.address,))
        await resolver.apply(replace(CONFIG, upstream=Resolvers((named.address,))))
        await answer(resolver, "mesh.example.org")
        assert (len(own.asked), len(named.asked)) == (1, 0)
        await answer(resolver)
        assert (len(own.asked), len(named.asked)) == (1, 1)


async def test_without_an_exit_node_nobody_is_asked_and_the_reason_is_told() -> None:
    async with name_server(good) as own:
        resolver = Resolver(lambda: (own.address,))
        await resolver.apply(replace(CONFIG, upstream=Nobody("The exit node is gone.")))
        assert await answer(resolver) == dns.SERVER_FAILURE
        assert resolver.problem.startswith("The exit node is gone.")
        assert await answer(resolver, "mesh.example.org") == dns.NO_ERROR
        assert len(own.asked) == 1


async def test_the_hosts_servers_on_its_own_lan_are_never_asked_through_the_tunnel() -> None:
    own = tuple(
        AddrPort(ip_address(text), 53) for text in ("192.168.1.1", "127.0.0.1", "fe80::1%lo")
    )
    resolver = Resolver(lambda: own)
    await resolver.apply(replace(CONFIG, upstream=HostResolvers(frozenset({LAN}))))
    assert await answer(resolver) == dns.SERVER_FAILURE
    assert "on its own network" in resolver.problem


async def test_an_exit_node_without_address_fails() -> None:
    resolver = Resolver(tuple)
    await resolver.apply(replace(CONFIG, upstream=ExitNode("home", ())))
    assert await answer(resolver) == dns.SERVER_FAILURE
    assert "home" in resolver.problem
    await resolver.close()


async def test_before_its_first_config_it_answers_nothing() -> None:
    resolver = Resolver(tuple)
    assert await answer(resolver) == dns.SERVER_FAILURE
    assert not resolver.is_client(ip_address("127.0.0.1"))


async def test_clients_follow_the_config() -> None:
    resolver = Resolver(tuple)
    await resolver.apply(replace(CONFIG, clients=frozenset({LAN})))
    assert resolver.is_client(ip_address("192.168.1.7"))
    assert not resolver.is_client(ip_address("192.168.2.7"))
    assert not resolver.is_client(ip_address("fd00::1"))


def test_a_socket_is_bound_to_its_interface_or_not_made() -> None:
    bound_to("")(socket.AF_INET, socket.SOCK_DGRAM).close()
    with pytest.raises(OSError):
        bound_to("no-such-dev")(socket.AF_INET, socket.SOCK_DGRAM)


async def test_peers_are_answered_by_the_hosts_servers_of_the_moment() -> None:
    async with name_server(good) as first, name_server(good) as second:
        servers = [first.address]
        answers = HostAnswers(lambda: tuple(servers))
        assert dns.rcode_of(await answers.resolve(query())) == dns.NO_ERROR
        servers[:] = [second.address]
        await answers.resolve(query())
        servers.clear()
        assert dns.rcode_of(await answers.resolve(query())) == dns.SERVER_FAILURE
    assert (len(first.asked), len(second.asked)) == (1, 1)
