"""The relay between nodes: who gets what, who is told what, who is let in."""

import asyncio

import pytest

from appliance.protocol.addresses import IPAddress
from appliance.protocol.derp.client import LoggedIn, PeerGone
from appliance.protocol.derp.frames import PeerGoneReason
from appliance.protocol.keys import NodePublic
from appliance.relay import server as relay_server
from appliance.relay.server import RelayServer
from tests.support.derp import DISCO, RELAY, node_key, relay_node
from tests.support.relay import (
    LOOPBACK,
    FakeNode,
    log_in,
    memory_relay,
    run_with_jumping_clock,
    running_relay,
)

A, B, C = node_key(1), node_key(2), node_key(3)


@pytest.mark.parametrize("fast", [False, True])
async def test_packets_reach_the_node_they_are_for(fast: bool) -> None:
    relay_key = RELAY.public() if fast else None
    async with (
        running_relay() as relay,
        relay_node(A, relay.port, relay_key=relay_key) as a,
        relay_node(B, relay.port, relay_key=relay_key) as b,
    ):
        a.send(B.public(), b"one", b"two", bytes(65536))
        b.send(A.public(), b"back")
        source = A.public().raw
        assert await b.receive(3) == [(source, b"one"), (source, b"two"), (source, bytes(65536))]
        assert await a.receive(1) == [(B.public().raw, b"back")]
        assert relay.server.counters.packets_in == relay.server.counters.packets_out == 4


async def test_packets_that_follow_the_login_at_once_are_not_lost() -> None:
    async with (
        running_relay() as relay,
        relay_node(B, relay.port) as b,
        relay_node(A, relay.port, relay_key=RELAY.public(), login=False) as a,
    ):
        a.send(B.public(), b"early")
        assert await b.receive(1) == [(A.public().raw, b"early")]


async def test_a_node_may_send_to_itself() -> None:
    async with memory_relay() as server:
        a = await log_in(server, A)
        a.send_packets(A.public(), b"me")
        assert a.take().endswith(b"me")


async def test_frames_for_several_nodes_leave_in_one_write_each() -> None:
    async with memory_relay() as server:
        a, b, c = [await log_in(server, key) for key in (A, B, C)]
        to_b, to_c = (a.session.encode_packet(node.public(), b"x") for node in (B, C))
        a.send((to_b + to_c) * 50)
        [packets] = b.events()
        assert len(packets.packets) == 50  # type: ignore[union-attr]
        assert b.transport.writes == c.transport.writes == 3  # two for the login, and this


async def test_disco_for_an_absent_node_is_answered_with_not_here() -> None:
    async with memory_relay() as server:
        a = await log_in(server, A)
        a.send_packets(B.public(), b"data", DISCO)
        assert a.events() == [PeerGone(B.public(), PeerGoneReason.NOT_HERE)]
        assert server.counters.dropped_unknown == 2


async def test_data_for_an_absent_node_is_dropped_in_silence() -> None:
    async with memory_relay() as server:
        a = await log_in(server, A)
        a.send_packets(B.public(), b"data")
        assert a.take() == b""


async def test_not_here_is_said_three_times_at_once_and_then_once_a_second() -> None:
    async with memory_relay() as server:
        a = await log_in(server, A)
        for number in range(10, 20):
            a.send_packets(node_key(number).public(), DISCO)
        assert len(a.events()) == 3


async def test_who_heard_from_a_node_is_told_when_it_has_gone() -> None:
    async with memory_relay() as server:
        a, b, c = [await log_in(server, key) for key in (A, B, C)]
        a.send_packets(B.public(), b"hello")
        b.take()
        a.transport.abort()
        await asyncio.sleep(0)
        assert b.events() == [PeerGone(A.public(), PeerGoneReason.DISCONNECTED)]
        assert c.take() == b""
        assert server.counters.connections == 2


async def test_nodes_that_end_together_are_not_told_of_each_other() -> None:
    async with memory_relay() as server:
        a, b = await log_in(server, A), await log_in(server, B)
        a.send_packets(B.public(), b"hello")
        b.send_packets(A.public(), b"hello")
        a.transport.abort()
        b.transport.abort()
        a.connection.send_urgent(b"nobody hears this")
        assert b.connection.deliver(A.public().raw, b"nor this", 1) == 1
        await asyncio.sleep(0)
        assert server.counters.connections == 0


async def test_of_two_connections_with_one_key_the_one_that_spoke_last_is_active() -> None:
    async with memory_relay() as server:
        old, other = await log_in(server, A), await log_in(server, B)
        new = await log_in(server, A)
        other.send_packets(A.public(), b"1")
        assert (len(old.take()), len(new.take())) == (0, 38)
        old.send_packets(B.public(), b"I am here")
        other.send_packets(A.public(), b"2")
        assert (len(old.take()), len(new.take())) == (38, 0)
        old.transport.abort()
        await asyncio.sleep(0)
        other.take()
        other.send_packets(A.public(), b"3")
        assert len(new.take()) == 38


async def test_home_nodes_are_counted() -> None:
    async with memory_relay() as server:
        a = await log_in(server, A)
        a.session.note_preferred(preferred=True)
        a.send(a.session.data_to_send() * 2)
        assert server.counters.home_nodes == 1
        a.transport.abort()
        await asyncio.sleep(0)
        assert server.counters.home_nodes == 0


# -- admission


async def test_the_admission_is_asked_with_key_and_address() -> None:
    asked: list[tuple[NodePublic, IPAddress | None]] = []

    async def admit(node: NodePublic, source: IPAddress | None) -> bool:
        asked.append((node, source))
        return True

    async with running_relay(admit) as relay, relay_node(A, relay.port):
        assert asked == [(A.public(), LOOPBACK)]


async def test_a_node_that_is_not_known_is_closed_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def admit(node: NodePublic, source: IPAddress | None) -> bool:
        return node != A.public()

    caplog.set_level("INFO")
    async with running_relay(admit) as relay, relay_node(A, relay.port, login=False) as a:
        with pytest.raises(ConnectionResetError):
            await a.event(LoggedIn)
        assert relay.server.counters.logins_refused == 1
        async with relay_node(B, relay.port):
            assert relay.server.counters.connections == 1
    assert f"refused node {A.public()} from 127.0.0.1" in caplog.text


async def test_an_admission_that_fails_refuses() -> None:
    async def admit(node: NodePublic, source: IPAddress | None) -> bool:
        raise OSError("no coordinator")

    async with running_relay(admit) as relay, relay_node(A, relay.port, login=False) as a:
        with pytest.raises(ConnectionResetError):
            await a.event(LoggedIn)


def test_an_admission_that_does_not_answer_refuses_after_five_seconds() -> None:
    async def admit(node: NodePublic, source: IPAddress | None) -> bool:
        await asyncio.Event().wait()
        return True

    async def scenario() -> None:
        async with memory_relay(admit) as server:
            node = FakeNode(server, A)
            node.send(node.login)
            await asyncio.sleep(4.9)
            assert not node.transport.closing
            await asyncio.sleep(0.2)
            assert node.transport.closing
            assert server.counters.logins_refused == 1

    run_with_jumping_clock(scenario())


async def test_refusals_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def admit(node: NodePublic, source: IPAddress | None) -> bool:
        return False

    caplog.set_level("INFO")
    async with memory_relay(admit) as server:
        for number in range(50):
            node = FakeNode(server, node_key(number + 1))
            node.send(node.login)
        for _ in range(10):
            await asyncio.sleep(0)
        assert server.counters.logins_refused == 50
    assert len(caplog.records) <= 11


# -- strangers


async def test_above_the_limit_the_oldest_stranger_gives_way() -> None:
    async with memory_relay() as server:
        strangers = [FakeNode(server, A) for _ in range(relay_server.MAX_STRANGERS + 1)]
        assert [node.transport.closing for node in strangers[:3]] == [True, False, False]
        member = await log_in(server, B)
        assert not member.transport.closing


async def test_a_relay_that_does_not_run_takes_nobody() -> None:
    node = FakeNode(RelayServer(RELAY, lambda *_: asyncio.sleep(0, True)), A)
    assert node.transport.closing


async def test_all_connections_end_with_the_relay() -> None:
    async with memory_relay() as server:
        member, stranger = await log_in(server, A), FakeNode(server, B)
    assert member.transport.closing
    assert stranger.transport.closing


async def test_a_node_that_is_expelled_loses_all_its_connections_and_its_peers_are_told() -> None:
    async with memory_relay() as server:
        a, again, b = [await log_in(server, key) for key in (A, A, B)]
        a.send_packets(B.public(), b"hello")
        b.events()
        server.expel(A.public(), "it was deleted")
        await asyncio.sleep(0)
        assert a.transport.closing
        assert again.transport.closing
        assert not b.transport.closing
        assert b.events() == [PeerGone(A.public(), PeerGoneReason.DISCONNECTED)]
        assert server.counters.expelled == 2
        server.expel(C.public(), "it never was here")
        assert server.counters.expelled == 2
