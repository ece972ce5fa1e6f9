import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from appliance.aio.errors import StreamClosedError
from appliance.aio.listener import serve_connections
from appliance.aio.stream import TcpStream


@asynccontextmanager
async def listening(
    on_stream: Callable[[TcpStream], Awaitable[None]], max_connections: int = 10
) -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(
                serve_connections(sock, on_stream, name="test", max_connections=max_connections),
                name="server",
            )
            yield sock.getsockname()
            serving.cancel()


async def connect(address: tuple[str, int]) -> TcpStream:
    return TcpStream(*await asyncio.open_connection(*address))


async def echo(stream: TcpStream) -> None:
    while data := await stream.read(100):
        await stream.write(data)


async def test_each_connection_is_served() -> None:
    async with listening(echo) as address:
        first, second = await connect(address), await connect(address)
        await second.write(b"two")
        await first.write(b"one")
        assert await first.read(10) == b"one"
        assert await second.read(10) == b"two"
        await first.close()
        await second.close()


async def test_a_stream_is_closed_when_its_handler_returns() -> None:
    async def say(stream: TcpStream) -> None:
        await stream.write(b"bye")

    async with listening(say) as address:
        client = await connect(address)
        assert await client.read(10) == b"bye"
        assert await client.read(10) == b""
        await client.close()


async def test_connections_beyond_the_limit_are_closed() -> None:
    async with listening(echo, max_connections=1) as address:
        first = await connect(address)
        await first.write(b"x")
        assert await first.read(10) == b"x"
        second = await connect(address)
        assert await second.read(10) == b""
        await first.write(b"y")
        assert await first.read(10) == b"y"
        await first.close()
        await second.close()


@pytest.mark.parametrize(
    ("error", "logged"), [(ValueError("bug"), True), (StreamClosedError("gone"), False)]
)
async def test_an_error_ends_its_own_connection_only(
    error: Exception, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(stream: TcpStream) -> None:
        raise error

    with caplog.at_level(logging.WARNING):
        async with listening(fail) as address:
            for _ in range(2):
                client = await connect(address)
                assert await client.read(10) == b""
                await client.close()
    assert bool(caplog.records) is logged


async def test_stopping_ends_the_open_connections() -> None:
    ended = asyncio.Event()

    async def wait(stream: TcpStream) -> None:
        try:
            await stream.read(1)
        finally:
            ended.set()

    async with listening(wait) as address:
        client = await connect(address)
        await asyncio.sleep(0.01)
    assert ended.is_set()
    await client.close()
