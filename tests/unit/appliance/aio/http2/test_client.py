import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from appliance.aio.errors import HttpProtocolError, StreamClosedError
from appliance.aio.http2 import Http2Client, Http2Exchange, open_http2, serve_http2
from tests.support.streams import stream_pair


@asynccontextmanager
async def connected(
    handler: Callable[[Http2Exchange], Awaitable[None]],
) -> AsyncIterator[Http2Client]:
    near, far = stream_pair(1 << 20)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_http2(far, handler), name="server")
        async with open_http2(near, "control.test") as client:
            yield client
        await near.close()


async def test_requests_run_side_by_side_and_answers_find_their_way() -> None:
    async def reverse(exchange: Http2Exchange) -> None:
        number = int(await exchange.body())
        await asyncio.sleep(0.001 * (20 - number))
        await exchange.respond(200, (), str(number).encode())

    async with connected(reverse) as client, asyncio.TaskGroup() as tasks:

        async def ask(number: int) -> None:
            response = await client.request("POST", "/", body=str(number).encode())
            assert response.body == str(number).encode()

        for number in range(20):
            tasks.create_task(ask(number), name=f"request {number}")


async def test_a_long_stream_does_not_stall_as_long_as_it_is_read() -> None:
    async def flood(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        for _ in range(60):
            await exchange.send(bytes(100_000))

    async with connected(flood) as client, client.stream("POST", "/machine/map") as response:
        size = 0
        while data := await response.read():
            size += len(data)
        assert size == 6_000_000


async def test_what_is_not_read_is_not_sent() -> None:
    sent = 0

    async def flood(exchange: Http2Exchange) -> None:
        nonlocal sent
        await exchange.start(200)
        while True:
            await exchange.send(bytes(65_536))
            sent += 65_536

    async with connected(flood) as client, client.stream("GET", "/"):
        await asyncio.sleep(0.05)
        assert 0 < sent <= 1024 * 1024


async def test_a_stream_that_is_not_read_does_not_hold_up_others() -> None:
    async def flood(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        if exchange.path == "/flood":
            await exchange.send(bytes(3_000_000))
        await exchange.send(b"x")

    async with connected(flood) as client, client.stream("GET", "/flood"):
        await asyncio.sleep(0.02)
        assert (await client.request("GET", "/other")).body == b"x"


async def test_leaving_a_stream_resets_it() -> None:
    cancelled = asyncio.Event()

    async def poll(exchange: Http2Exchange) -> None:
        if exchange.path == "/other":
            return await exchange.respond(200)
        await exchange.start(200)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with connected(poll) as client:
        async with client.stream("GET", "/poll"):
            pass
        await cancelled.wait()
        assert (await client.request("GET", "/other")).status == 200


async def test_a_request_given_up_in_time_resets_its_stream() -> None:
    cancelled = asyncio.Event()

    async def hang(exchange: Http2Exchange) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with connected(hang) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client.request("GET", "/")
        await cancelled.wait()


async def test_an_answer_that_is_too_long_is_refused() -> None:
    async def flood(exchange: Http2Exchange) -> None:
        await exchange.respond(200, (), bytes(2000))

    async with connected(flood) as client:
        with pytest.raises(HttpProtocolError, match="longer than 1000 bytes"):
            await client.request("GET", "/", max_body=1000)


async def test_a_stream_the_server_resets_fails_its_reader() -> None:
    async def fail(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        raise ValueError

    async with connected(fail) as client:
        with pytest.raises(StreamClosedError, match="reset"):
            await client.request("GET", "/")


async def test_losing_the_connection_fails_every_request() -> None:
    near, far = stream_pair()
    async with open_http2(near) as client:
        async with asyncio.TaskGroup() as tasks:

            async def ask() -> None:
                with pytest.raises(StreamClosedError):
                    await client.request("GET", "/")

            for n in range(3):
                tasks.create_task(ask(), name=f"request {n}")
            await asyncio.sleep(0.01)
            await far.close()
        with pytest.raises(StreamClosedError):
            await client.request("GET", "/later")


async def test_a_server_that_speaks_something_else_fails_every_request() -> None:
    near, far = stream_pair()
    await far.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    async with open_http2(near) as client:
        with pytest.raises(HttpProtocolError, match="does not speak HTTP/2"):
            await client.request("GET", "/")


async def test_the_block_raises_what_was_raised_in_it() -> None:
    near, _ = stream_pair()
    with pytest.raises(KeyError):
        async with open_http2(near):
            raise KeyError("mine")


async def test_a_large_body_is_sent_under_flow_control() -> None:
    async def echo(exchange: Http2Exchange) -> None:
        await exchange.respond(200, (), await exchange.body())

    async with connected(echo) as client:
        body = bytes(range(256)) * 4000
        assert (await client.request("POST", "/", body=body)).body == body
