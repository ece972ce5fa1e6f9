import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from appliance.aio.errors import HttpProtocolError, RequestRefusedError, StreamClosedError
from appliance.aio.http1 import (
    Answer,
    Http1Client,
    Http1Limits,
    HttpRequest,
    HttpResponse,
    StreamingResponse,
    Upgrade,
    encode_switching_protocols,
    serve_http1,
)
from appliance.aio.stream import Stream
from tests.support.streams import MemoryStream, stream_pair

HOST = ("Host", "latchkey.test")
UPGRADE_HEADERS = (HOST, ("Upgrade", "DERP"), ("Connection", "upgrade"))
LIMITS = Http1Limits(header_bytes=1024, body_bytes=100, request_timeout_s=0.05, idle_timeout_s=0.1)


async def echo(request: HttpRequest) -> Answer:
    return HttpResponse(200, (("X-Path", request.target),), request.body)


@asynccontextmanager
async def serving(
    handler: Callable[[HttpRequest], Awaitable[Answer]] = echo, limits: Http1Limits = LIMITS
) -> AsyncIterator[MemoryStream]:
    near, far = stream_pair()

    async def serve() -> None:
        await serve_http1(far, handler, limits)
        await far.close()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(), name="server")
        yield near
        await near.close()


async def read_to_end(stream: MemoryStream) -> bytes:
    data = b""
    while chunk := await stream.read(10_000):
        data += chunk
    return data


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with serving() as stream:
        client = Http1Client(stream)
        for body in (b"one", b"two"):
            response = await client.request(HttpRequest("POST", "/x?y=1", (HOST,), body))
            assert (response.status, response.body) == (200, body)
            assert response.header("x-path") == "/x?y=1"


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serving() as stream:
        await stream.write(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.01)
        answer = await stream.read(10_000)
        assert answer.index(b"X-Path: /1") < answer.index(b"X-Path: /2")


async def test_an_answer_carries_the_time_so_that_clients_notice_a_wrong_clock() -> None:
    async with serving() as stream:
        response = await Http1Client(stream).request(HttpRequest("GET", "/", (HOST,)))
        date = parsedate_to_datetime(response.header("date") or "")
        assert abs(date - datetime.now(UTC)) < timedelta(seconds=10)


async def test_a_head_request_gets_the_length_and_no_body() -> None:
    async def hello(request: HttpRequest) -> Answer:
        return HttpResponse(200, (), b"hello")

    async with serving(hello) as stream:
        response = await Http1Client(stream).request(HttpRequest("HEAD", "/", (HOST,)))
        assert response.body == b""
        assert response.header("content-length") == "5"


async def test_an_answer_without_content_has_no_length() -> None:
    async def nothing(request: HttpRequest) -> Answer:
        return HttpResponse(204)

    async with serving(nothing) as stream:
        response = await Http1Client(stream).request(HttpRequest("GET", "/", (HOST,)))
        assert response.header("content-length") is None


async def test_a_streamed_answer_arrives_piece_by_piece() -> None:
    go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"first"
        await go_on.wait()
        yield b"second"

    async def stream_it(request: HttpRequest) -> Answer:
        return StreamingResponse(200, (), chunks())

    async with serving(stream_it) as stream:
        await stream.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        arrived = b""
        while b"first" not in arrived:
            arrived += await stream.read(10_000)
        assert b"second" not in arrived
        go_on.set()
        while not arrived.endswith(b"0\r\n\r\n"):
            arrived += await stream.read(10_000)
        assert b"second" in arrived


async def test_an_upgrade_hands_over_the_stream_and_what_was_read_too_far() -> None:
    async def take_over(stream: Stream, leftover: bytes) -> None:
        await stream.write(encode_switching_protocols((("Upgrade", "DERP"),)) + b"hi ")
        await stream.write(leftover + b"|" + await stream.read(100))

    async def upgrade(request: HttpRequest) -> Answer:
        return Upgrade(take_over)

    async with serving(upgrade) as stream:
        head = b"GET /derp HTTP/1.1\r\nHost: x\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n"
        await stream.write(head + b"early")
        await asyncio.sleep(0)
        await stream.write(b"late")
        assert await read_to_end(stream) == (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\nhi early|late"
        )


async def test_the_client_keeps_what_follows_a_101() -> None:
    near, far = stream_pair()
    await far.write(encode_switching_protocols((("Upgrade", "DERP"),)) + b"first frame")
    response, leftover = await Http1Client(near).upgrade(
        HttpRequest("POST", "/derp", UPGRADE_HEADERS)
    )
    assert (response.status, leftover) == (101, b"first frame")
    assert response.header("upgrade") == "DERP"


async def test_a_refused_upgrade_is_an_ordinary_answer() -> None:
    async with serving() as stream:
        response, _ = await Http1Client(stream).upgrade(HttpRequest("GET", "/", UPGRADE_HEADERS))
        assert response.status == 200


async def test_a_handler_may_refuse_with_a_status_and_a_sentence() -> None:
    async def refuse(request: HttpRequest) -> Answer:
        raise RequestRefusedError(404, "no such node")

    async with serving(refuse) as stream:
        response = await Http1Client(stream).request(HttpRequest("GET", "/", (HOST,)))
        assert (response.status, response.body) == (404, b"no such node\n")


async def test_a_failing_handler_costs_its_own_request_only() -> None:
    async def fail_once(request: HttpRequest) -> Answer:
        if request.target == "/bug":
            raise ValueError("secret detail")
        return HttpResponse(200)

    async with serving(fail_once) as stream:
        client = Http1Client(stream)
        response = await client.request(HttpRequest("GET", "/bug", (HOST,)))
        assert response.status == 500
        assert b"secret" not in response.body
        assert (await client.request(HttpRequest("GET", "/", (HOST,)))).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 2000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n" + bytes(101), 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-\xff: 1\r\n\r\n", 400),
    ],
)
async def test_broken_and_oversized_requests_are_refused_and_end_the_connection(
    sent: bytes, status: int
) -> None:
    async with serving() as stream:
        await stream.write(sent)
        answer = await read_to_end(stream)
        assert answer.startswith(b"HTTP/1.1 %d" % status)
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_request_that_trickles_in_is_refused() -> None:
    async with serving() as stream:
        await stream.write(b"GET / HTTP/1.1\r\n")
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 408")


async def test_an_idle_connection_ends_without_a_word() -> None:
    async with serving() as stream:
        assert await read_to_end(stream) == b""


async def test_a_client_that_leaves_in_mid_request_ends_the_connection() -> None:
    async with serving() as stream:
        await stream.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        await asyncio.sleep(0)


async def test_a_body_is_invited_when_the_client_waits_for_it() -> None:
    async with serving() as stream:
        await stream.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        )
        assert (await stream.read(1000)).startswith(b"HTTP/1.1 100")
        await stream.write(b"ok")
        assert (await stream.read(1000)).startswith(b"HTTP/1.1 200")


async def test_the_client_refuses_what_is_not_http() -> None:
    near, far = stream_pair()
    await far.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
    with pytest.raises(HttpProtocolError, match="does not speak HTTP"):
        await Http1Client(near).request(HttpRequest("GET", "/", (HOST,)))


async def test_the_client_refuses_an_answer_that_is_too_long() -> None:
    near, far = stream_pair()
    await far.write(b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + bytes(101))
    with pytest.raises(HttpProtocolError, match="too long"):
        await Http1Client(near, LIMITS).request(HttpRequest("GET", "/", (HOST,)))


async def test_the_client_notices_a_server_that_leaves_without_an_answer() -> None:
    near, far = stream_pair()
    await far.close()
    with pytest.raises(StreamClosedError):
        await Http1Client(near).request(HttpRequest("GET", "/", (HOST,)))


async def test_the_client_passes_over_an_early_hint() -> None:
    near, far = stream_pair()
    await far.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert (await Http1Client(near).request(HttpRequest("GET", "/", (HOST,)))).status == 200
