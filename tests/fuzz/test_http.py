"""Whatever a stranger sends to an HTTP server, serving it ends when the connection does."""

import asyncio

from h2.connection import H2Connection
from hypothesis import given
from hypothesis import strategies as st

from appliance.aio.http1 import HttpRequest, HttpResponse, serve_http1
from appliance.aio.http2 import Http2Exchange, serve_http2
from tests.support.streams import stream_pair

chunks = st.lists(st.binary(max_size=60), max_size=5)
lines = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /ts2021 HTTP/1.1\r\n",
            b"Host: x\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Upgrade: DERP\r\nConnection: Upgrade\r\n",
            b"Expect: 100-continue\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"\r\n",
        ]
    ),
    max_size=8,
)
frames = st.lists(
    st.builds(
        lambda payload, kind, flags, stream: (
            len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
        ),
        st.binary(max_size=30) | st.just(b"\x82\x84\x87\x41\x00"),
        st.integers(0, 10),
        st.sampled_from([0, 1, 4, 5, 8]),
        st.sampled_from([0, 1, 3, 2]),
    ),
    max_size=6,
)


@given(lines | chunks)
def test_any_bytes_end_an_http1_server(sent: list[bytes]) -> None:
    async def handler(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), request.body)

    async def run() -> None:
        near, far = stream_pair()
        for chunk in sent:
            await near.write(chunk)
        await near.end()
        async with asyncio.timeout(5):
            await serve_http1(far, handler)

    asyncio.run(run())


@given(frames | chunks)
def test_any_frames_end_an_http2_server(sent: list[bytes]) -> None:
    async def handler(exchange: Http2Exchange) -> None:
        await exchange.respond(200, (), await exchange.body())

    async def run() -> None:
        near, far = stream_pair()
        client = H2Connection()
        client.initiate_connection()
        await near.write(client.data_to_send())
        for chunk in sent:
            await near.write(chunk)
        await near.end()
        async with asyncio.timeout(5):
            await serve_http2(far, handler)

    asyncio.run(run())
