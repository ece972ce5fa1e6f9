import asyncio
import logging
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import h2.config
import h2.connection
import h2.events
import pytest
from h2.errors import ErrorCodes

from appliance.aio.errors import RequestRefusedError, StreamClosedError
from appliance.aio.http2 import ByteBudget, Http2Exchange, Http2Limits, open_http2, serve_http2
from tests.support.streams import MemoryStream, stream_pair

Handler = Callable[[Http2Exchange], Awaitable[None]]


class RawClient:
    """A client that does only what it is told, frame by frame."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.events: list[h2.events.Event] = []

    async def send(self) -> None:
        await self.stream.write(self.h2.data_to_send())

    async def request(
        self, path: str, body: bytes | None = None, end: bool = True, method: str = "POST"
    ) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", ""), (":path", path)]
        self.h2.send_headers(stream_id, head, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream_id, body, end_stream=end)
        await self.send()
        return stream_id

    async def wait_for(self, kind: type[h2.events.Event], stream_id: int | None = None):
        """Read until an event of this kind; acknowledges no data."""
        while True:
            for event in self.events:
                if isinstance(event, kind) and stream_id in (None, event.stream_id):
                    self.events.remove(event)
                    return event
            data = await self.stream.read(65_536)
            assert data, f"the server closed before {kind.__name__}"
            self.events += self.h2.receive_data(data)
            await self.send()

    async def status(self, stream_id: int) -> int:
        response = await self.wait_for(h2.events.ResponseReceived, stream_id)
        return int(dict(response.headers)[":status"])


@asynccontextmanager
async def serving(
    handler: Handler, limits: Http2Limits | None = None, capacity: int = 1 << 20
) -> AsyncIterator[MemoryStream]:
    near, far = stream_pair(capacity)

    async def serve() -> None:
        await serve_http2(far, handler, limits)
        await far.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(), name="server")
        yield near
        await near.close()


@asynccontextmanager
async def raw_client(
    handler: Handler, limits: Http2Limits | None = None
) -> AsyncIterator[RawClient]:
    async with serving(handler, limits) as stream:
        yield RawClient(stream)


async def echo(exchange: Http2Exchange) -> None:
    await exchange.respond(200, (("X-Method", exchange.method),), await exchange.body())


async def test_a_request_is_answered() -> None:
    async with serving(echo) as stream, open_http2(stream) as client:
        response = await client.request("POST", "/machine/register", body=b"{}")
        assert (response.status, response.body) == (200, b"{}")
        assert response.header("x-method") == "POST"


async def test_a_handler_sees_path_and_headers() -> None:
    seen: list[Http2Exchange] = []

    async def look(exchange: Http2Exchange) -> None:
        seen.append(exchange)
        await exchange.respond(204)

    async with serving(look) as stream, open_http2(stream) as client:
        await client.request("GET", "/a?b=c", (("Ts-Lb", "nodekey:1"),))
    assert (seen[0].path, seen[0].header("ts-lb")) == ("/a?b=c", "nodekey:1")
    assert all(not name.startswith(":") for name, _ in seen[0].headers)


async def test_a_piece_of_an_answer_leaves_at_once() -> None:
    async def poll(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        await exchange.send(b"first")
        await asyncio.get_running_loop().create_future()

    async with (
        serving(poll) as stream,
        open_http2(stream) as client,
        client.stream("POST", "/machine/map") as response,
    ):
        assert response.status == 200
        assert await response.read() == b"first"


async def test_a_hundred_exchanges_run_at_once() -> None:
    gate = asyncio.Event()
    running = 0

    async def wait(exchange: Http2Exchange) -> None:
        nonlocal running
        running += 1
        if running == 100:
            gate.set()
        await gate.wait()
        await exchange.respond(200)

    async with (
        serving(wait) as stream,
        open_http2(stream) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for n in range(100):
            tasks.create_task(client.request("GET", f"/{n}"), name=f"request {n}")


async def test_resetting_one_stream_cancels_its_handler_and_disturbs_no_other() -> None:
    cancelled = asyncio.Event()

    async def poll(exchange: Http2Exchange) -> None:
        if exchange.path == "/poll":
            await exchange.start(200)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                cancelled.set()
        await exchange.respond(200)

    async with raw_client(poll) as client:
        first = await client.request("/poll")
        assert await client.status(first) == 200
        client.h2.reset_stream(first, ErrorCodes.CANCEL)
        await client.send()
        await cancelled.wait()
        assert await client.status(await client.request("/other")) == 200


async def test_the_clients_leaving_cancels_all_handlers() -> None:
    cancelled = asyncio.Event()

    async def poll(exchange: Http2Exchange) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with raw_client(poll) as client:
        await client.request("/poll")
        await asyncio.sleep(0.01)
    assert cancelled.is_set()


async def test_sending_after_a_reset_is_an_error_for_the_sender_only() -> None:
    outcome: list[Exception] = []

    async def stubborn(exchange: Http2Exchange) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            try:
                await exchange.respond(200)
            except StreamClosedError as error:
                outcome.append(error)
            raise

    async with raw_client(stubborn) as client:
        stream_id = await client.request("/")
        await asyncio.sleep(0.01)
        client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
        await client.send()
        await asyncio.sleep(0.01)
        assert outcome


async def test_flow_control_is_honoured() -> None:
    sent = 0

    async def flood(exchange: Http2Exchange) -> None:
        nonlocal sent
        await exchange.start(200)
        for _ in range(10):
            await exchange.send(bytes(20_000))
            sent += 20_000

    async with raw_client(flood) as client:
        stream_id = await client.request("/")
        for _ in range(4):
            await client.wait_for(h2.events.DataReceived, stream_id)
        await asyncio.sleep(0.01)
        assert sent == 60_000  # the fourth piece waits: the window is 65,535 bytes
        client.h2.increment_flow_control_window(200_000)
        client.h2.increment_flow_control_window(200_000, stream_id)
        await client.send()
        await client.wait_for(h2.events.StreamEnded, stream_id)
        assert sent == 200_000


async def test_one_stuck_reader_does_not_hold_up_another_exchange() -> None:
    async def flood(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        if exchange.path == "/flood":
            await exchange.send(bytes(65_535 * 2))

    async with raw_client(flood) as client:
        client.h2.increment_flow_control_window(1_000_000)
        await client.request("/flood")
        await asyncio.sleep(0.01)
        other = await client.request("/other")
        await client.wait_for(h2.events.StreamEnded, other)


async def test_a_body_that_is_too_long_is_refused_and_the_connection_goes_on() -> None:
    async with raw_client(echo, Http2Limits(body_bytes=1000)) as client:
        stream_id = await client.request("/", bytes(1001), end=False)
        assert await client.status(stream_id) == 413
        await client.wait_for(h2.events.StreamReset, stream_id)
        assert await client.status(await client.request("/", b"short")) == 200


async def test_strangers_with_large_bodies_share_a_bounded_memory() -> None:
    """However many connections send bodies, no more than the shared budget is ever held."""
    budget = ByteBudget(100_000)
    limits = Http2Limits(budget=budget)
    lowest = budget.left
    async with asyncio.TaskGroup() as tasks:
        ends = [stream_pair() for _ in range(20)]
        for n, (_, far) in enumerate(ends):
            tasks.create_task(serve_http2(far, echo, limits), name=f"server {n}")
        clients = [RawClient(near) for near, _ in ends]
        for client in clients:
            client.stream_id = await client.request("/", bytes(16_000), end=False)
        refused = 0
        for client in clients:
            await asyncio.sleep(0.001)
            client.h2.send_data(client.stream_id, bytes(16_000))
            await client.send()
            await asyncio.sleep(0.001)
            lowest = min(lowest, budget.left)
        for client in clients:
            with_answer = await client.stream.read(65_536)
            events = client.h2.receive_data(with_answer)
            refused += any(isinstance(event, h2.events.ResponseReceived) for event in events)
            await client.stream.close()
    assert lowest >= 0
    assert refused == 14  # (32,000 - 16,384) x 6 fits into the budget
    assert budget.left == 100_000


async def test_what_was_received_and_refused_is_not_held() -> None:
    async def hang(exchange: Http2Exchange) -> None:
        await asyncio.get_running_loop().create_future()

    async def held(count: int) -> int:
        """How much memory this many connections hold that sent 60 KB of refused bodies."""
        async with AsyncExitStack() as stack:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(count):
                client = await stack.enter_async_context(raw_client(hang, limits))
                stream_id = await client.request("/", end=False)
                for _ in range(4):
                    client.h2.send_data(stream_id, bytes(15_000))
                await client.send()
                client.h2 = None
            await asyncio.sleep(0.01)
            return tracemalloc.get_traced_memory()[0] - before

    limits = Http2Limits(body_bytes=1000)
    tracemalloc.start()
    try:
        await held(1)
        assert await held(5) < 5 * 60_000
    finally:
        tracemalloc.stop()


async def test_a_body_that_trickles_in_is_refused() -> None:
    async with raw_client(echo, Http2Limits(body_timeout_s=0.02)) as client:
        assert await client.status(await client.request("/", b"a", end=False)) == 408


async def test_a_handler_may_refuse_with_a_status_and_a_sentence() -> None:
    async def refuse(exchange: Http2Exchange) -> None:
        raise RequestRefusedError(404, "no such node")

    async with serving(refuse) as stream, open_http2(stream) as client:
        response = await client.request("POST", "/machine/map")
        assert (response.status, response.body) == (404, b"no such node\n")


async def test_a_failing_handler_costs_its_own_exchange_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(exchange: Http2Exchange) -> None:
        if exchange.path == "/begun":
            await exchange.start(200)
        if exchange.path != "/ok":
            raise ValueError("secret detail")
        await exchange.respond(200)

    with caplog.at_level(logging.ERROR):
        async with raw_client(fail) as client:
            assert await client.status(await client.request("/bug")) == 500
            begun = await client.request("/begun")
            assert await client.status(begun) == 200
            await client.wait_for(h2.events.StreamReset, begun)
            assert await client.status(await client.request("/ok")) == 200
    assert len(caplog.records) == 2


async def test_a_handler_that_forgets_to_answer_is_a_500() -> None:
    async def forget(exchange: Http2Exchange) -> None: ...

    async with serving(forget) as stream, open_http2(stream) as client:
        assert (await client.request("GET", "/")).status == 500


async def test_a_handler_that_forgets_to_end_is_ended() -> None:
    async def forget(exchange: Http2Exchange) -> None:
        await exchange.start(200)
        await exchange.send(b"all")

    async with serving(forget) as stream, open_http2(stream) as client:
        assert (await client.request("GET", "/")).body == b"all"


async def test_an_idle_connection_is_closed() -> None:
    async with raw_client(echo, Http2Limits(idle_timeout_s=0.03)) as client:
        assert await client.status(await client.request("/", b"")) == 200
        while await client.stream.read(1000):
            pass


async def test_a_connection_with_an_open_exchange_is_not_idle() -> None:
    async def slow(exchange: Http2Exchange) -> None:
        await asyncio.sleep(0.08)
        await exchange.respond(200)

    async with raw_client(slow, Http2Limits(idle_timeout_s=0.02)) as client:
        assert await client.status(await client.request("/")) == 200


async def test_what_is_not_http2_ends_the_connection() -> None:
    async with serving(echo) as stream:
        await stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while await stream.read(1000):
            pass


async def test_headers_that_are_too_long_end_the_connection() -> None:
    async with raw_client(echo) as client:
        head = [(":method", "GET"), (":scheme", "https"), (":authority", ""), (":path", "/")]
        client.h2.send_headers(1, [*head, *[(f"x-{n}", "y" * 200) for n in range(100)]])
        await client.send()
        while await client.stream.read(1000):
            pass


async def test_opening_and_resetting_streams_without_end_runs_few_handlers() -> None:
    started = 0
    release = asyncio.Event()

    async def slow_to_die(exchange: Http2Exchange) -> None:
        nonlocal started
        started += 1
        try:
            await release.wait()
        except asyncio.CancelledError:
            await release.wait()

    async with raw_client(slow_to_die, Http2Limits(concurrent_streams=10)) as client:
        for _ in range(50):
            stream_id = await client.request("/", b"x", end=False)
            await asyncio.sleep(0.0005)
            client.h2.reset_stream(stream_id, ErrorCodes.CANCEL)
            await client.send()
        release.set()
    assert started <= 10
