"""One connection at the relay: time, slow readers, greedy senders."""

import asyncio

import pytest

from appliance.protocol.derp.client import Packets, PongReceived
from appliance.protocol.derp.frames import FrameType, encode_frame
from appliance.relay import connection
from appliance.relay.outbox import LIMIT_BYTES
from tests.support.derp import DISCO, FRAMES, RELAY, node_key, recv_frame
from tests.support.relay import FakeNode, log_in, memory_relay, run_with_jumping_clock

A, B, C = node_key(1), node_key(2), node_key(3)
BIG = bytes(1400)


def test_a_stranger_has_ten_seconds_to_log_in() -> None:
    async def scenario() -> None:
        async with memory_relay() as server:
            node = FakeNode(server, A)
            await asyncio.sleep(9.9)
            assert not node.transport.closing
            await asyncio.sleep(0.2)
            assert node.transport.closing
            assert server.counters.strangers_closed == 1
            assert server.counters.strangers == 0

    run_with_jumping_clock(scenario())


def test_a_keepalive_goes_out_every_60_to_65_seconds() -> None:
    async def scenario() -> None:
        async with memory_relay() as server:
            node = await log_in(server, A)
            await asyncio.sleep(59.9)
            assert node.take() == b""
            await asyncio.sleep(5.2)
            assert node.take() == encode_frame(FrameType.KEEP_ALIVE)
            await asyncio.sleep(65.1)
            assert node.take() == encode_frame(FrameType.KEEP_ALIVE)
            assert not node.transport.closing

    run_with_jumping_clock(scenario())


async def test_a_ping_is_answered() -> None:
    async with memory_relay() as server:
        node = await log_in(server, A)
        node.send(FRAMES["ping"])
        assert node.events() == [PongReceived(bytes(range(1, 9)))]


async def test_a_greeting_comes_before_anything_else() -> None:
    async with memory_relay() as server:
        assert FakeNode(server, A).take() == FRAMES["server_key"]


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), FRAMES["ping"]])
async def test_a_stranger_that_does_not_log_in_is_closed(junk: bytes) -> None:
    async with memory_relay() as server:
        node = FakeNode(server, A)
        node.send(junk)
        assert node.transport.closing


async def test_a_stranger_can_leave_16_kib_with_us_and_no_more() -> None:
    async with memory_relay() as server:
        node = FakeNode(server, A)
        node.send(node.login + bytes(100_000))
        assert not node.transport.reading or node.transport.closing
        assert len(node.connection._partial) < connection.LOGIN_BUFFER


async def test_bytes_beyond_the_upgrade_are_bounded_too() -> None:
    async with memory_relay() as server:
        node = FakeNode(server, A)
        node.connection.start(b"", bytes(connection.LOGIN_BUFFER + 1))
        assert node.transport.closing


async def test_a_node_that_breaks_the_protocol_is_closed() -> None:
    async with memory_relay() as server:
        node = await log_in(server, A)
        node.send(encode_frame(FrameType.WATCH_CONNS))
        assert node.transport.closing


async def test_frames_survive_any_cut_between_two_connections() -> None:
    """All connections read into one buffer; what one leaves must not reach another."""
    async with memory_relay() as server:
        a, b, c = [await log_in(server, key) for key in (A, B, C)]
        frame_a = a.session.encode_packet(C.public(), b"from a")
        frame_b = b.session.encode_packet(C.public(), b"from b")
        for cut in range(1, len(frame_a)):
            a.send(frame_a[:cut])
            b.send(frame_b[:cut])
            a.send(frame_a[cut:])
            b.send(frame_b[cut:])
        received = [packet for event in c.events() for packet in event.packets]  # type: ignore[union-attr]
        expected = [(A.public().raw, b"from a"), (B.public().raw, b"from b")]
        assert received == expected * (len(frame_a) - 1)


async def test_packets_for_a_full_transport_wait_in_bounds_and_the_newest_survive() -> None:
    async with memory_relay() as server:
        a, b = await log_in(server, A), await log_in(server, B)
        b.connection.pause_writing()
        for number in range(1000):
            a.transport.reading = True
            a.send_packets(B.public(), number.to_bytes(2) + BIG)
        assert b.take() == b""
        assert b.connection._outbox.queued_bytes <= LIMIT_BYTES
        b.connection.resume_writing()
        [event] = b.events()
        assert isinstance(event, Packets)
        numbers = [int.from_bytes(packet[:2]) for _, packet in event.packets]
        assert numbers == list(range(1000 - len(numbers), 1000))
        counters = server.counters
        assert counters.dropped_queue + len(numbers) == 1000
        assert counters.packets_out + counters.dropped_queue == counters.packets_in


async def test_disco_and_answers_overtake_the_packets_that_wait() -> None:
    async with memory_relay() as server:
        a, b = await log_in(server, A), await log_in(server, B)
        b.connection.pause_writing()
        a.send_packets(B.public(), BIG, DISCO)
        b.send(FRAMES["ping"])
        b.connection.resume_writing()
        disco = recv_frame(A.public().raw, DISCO)
        assert b.take() == disco + FRAMES["pong"] + recv_frame(A.public().raw, BIG)


async def test_a_transport_that_fills_again_stops_the_draining() -> None:
    async with memory_relay() as server:
        a, b = await log_in(server, A), await log_in(server, B)
        b.connection.pause_writing()
        a.send_packets(B.public(), *[BIG] * 100)
        b.transport.on_write = b.connection.pause_writing
        b.connection.resume_writing()
        assert 0 < len(b.take()) < 20_000
        b.transport.on_write = None
        b.connection.resume_writing()
        assert len(b.take()) > 100_000


def test_a_sender_whose_packets_are_dropped_in_numbers_rests_for_a_moment() -> None:
    async def scenario() -> None:
        async with memory_relay() as server:
            a, b = await log_in(server, A), await log_in(server, B)
            b.connection.pause_writing()
            a.send_packets(B.public(), *[BIG] * 400)
            assert server.counters.dropped_queue >= 32
            assert not a.transport.reading
            await asyncio.sleep(connection.REST_S * 1.1)
            assert a.transport.reading

    run_with_jumping_clock(scenario())


async def test_a_few_drops_let_the_sender_go_on() -> None:
    async with memory_relay() as server:
        a, b = await log_in(server, A), await log_in(server, B)
        b.connection.pause_writing()
        for _ in range(400):
            a.send_packets(B.public(), BIG)
            assert a.transport.reading
        assert server.counters.dropped_queue > 0


async def test_one_slow_node_does_not_keep_packets_from_another() -> None:
    async with memory_relay() as server:
        a, b, c = [await log_in(server, key) for key in (A, B, C)]
        b.connection.pause_writing()
        a.send_packets(B.public(), *[BIG] * 100)
        a.send_packets(C.public(), b"in time")
        assert c.take() == recv_frame(A.public().raw, b"in time")


async def test_who_had_the_transport_before_hears_of_its_end() -> None:
    class Before(asyncio.Protocol):
        ended = False

        def connection_lost(self, exc: Exception | None) -> None:
            self.ended = True

    async with memory_relay() as server:
        before = Before()
        node = FakeNode(server, A, before)
        node.transport.abort()
        await node.connection.wait_ended()
        assert before.ended


async def test_the_relays_key_is_in_no_representation() -> None:
    async with memory_relay() as server:
        node = await log_in(server, A)
        assert RELAY.raw.hex()[:8] not in repr(vars(server)) + repr(vars(node.connection))
