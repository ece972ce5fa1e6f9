import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from appliance.dns import server as module
from appliance.dns.errors import DnsError
from appliance.dns.server import StubServer
from appliance.protocol import dns
from appliance.protocol.addresses import IPAddress
from tests.support.dnsmessages import query, query_bytes, reply_to

HERE = ip_address("127.0.0.1")


async def answering(asked: dns.Query) -> bytes:
    return reply_to(asked, *[bytes(100)] * 20)


def anybody(_: IPAddress) -> bool:
    return True


@asynccontextmanager
async def stub(
    resolve: Callable[[dns.Query], Awaitable[bytes]] = answering,
    is_client: Callable[[IPAddress], bool] = anybody,
) -> AsyncIterator[StubServer]:
    opened = StubServer([HERE], resolve, is_client, port=0)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(opened.run())
        try:
            yield opened
        finally:
            running.cancel()
            opened.close()


@asynccontextmanager
async def udp(port: int) -> AsyncIterator[Callable[[bytes], Awaitable[bytes]]]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("127.0.0.1", port))

        async def ask(data: bytes) -> bytes:
            await loop.sock_sendall(sock, data)
            async with asyncio.timeout(1):
                return await loop.sock_recv(sock, 65535)

        yield ask


async def over_tcp(port: int, *messages: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    replies = []
    try:
        for message in messages:
            writer.write(len(message).to_bytes(2) + message)
            async with asyncio.timeout(1):
                size = int.from_bytes(await reader.readexactly(2))
                replies.append(await reader.readexactly(size))
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
    return replies


async def test_udp_gets_what_fits_and_tcp_the_rest() -> None:
    async with stub() as opened, udp(opened.port) as ask:
        assert dns.is_truncated(await ask(query_bytes()))
        assert not dns.is_truncated(await ask(query_bytes(opt=4096)))
        [first, second] = await over_tcp(opened.tcp_port, query_bytes(), query_bytes(number=2))
        assert len(first) > 2000
        assert second[:2] == b"\0\2"


async def test_who_is_no_client_gets_silence() -> None:
    async with stub(is_client=lambda _: False) as opened, udp(opened.port) as ask:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(query_bytes()), 0.1)
        assert await over_tcp(opened.tcp_port, query_bytes()) == []


async def test_garbage_is_told_so_and_answers_are_dropped() -> None:
    async with stub() as opened, udp(opened.port) as ask:
        assert dns.rcode_of(await ask(b"\1\2\1\0" + bytes(8))) == dns.FORMAT_ERROR
        assert dns.rcode_of(await ask(query_bytes() + bytes(5000))) == dns.FORMAT_ERROR
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(reply_to(query())), 0.1)
        assert await over_tcp(opened.tcp_port, bytes(5000)) == []
        assert await over_tcp(opened.tcp_port, b"") == []


async def test_more_queries_than_the_limit_fail_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_QUERIES", 1)
    release = asyncio.Event()

    async def slow(asked: dns.Query) -> bytes:
        await release.wait()
        return reply_to(asked, bytes(4))

    async with stub(slow) as opened, udp(opened.port) as first, udp(opened.port) as second:
        waiting = asyncio.gather(first(query_bytes()))
        await asyncio.sleep(0.02)
        assert dns.rcode_of(await second(query_bytes())) == dns.SERVER_FAILURE
        release.set()
        [reply] = await waiting
        assert dns.rcode_of(reply) == dns.NO_ERROR


async def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DnsError, match=f"Port {port} of 127.0.0.1 cannot be had"):
            StubServer([HERE], answering, anybody, port=port)


async def test_a_stub_that_was_closed_before_it_ran_serves_nothing() -> None:
    opened = StubServer([HERE], answering, anybody, port=0)
    opened.close()
    await opened.run()
