import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.aio.errors import StreamClosedError
from appliance.aio.stream import PrefixedStream, TcpStream, read_exactly
from appliance.aio.tls import client_context
from appliance.protocol.addresses import AddrPort
from tests.netns.lab.pki import Authority
from tests.support.control import listening
from tests.support.streams import stream_pair


@pytest.fixture
async def ends() -> AsyncIterator[tuple[TcpStream, socket.socket]]:
    """A stream on one end of a TCP connection, the plain socket on the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    near.setblocking(False)
    far.setblocking(False)
    stream = TcpStream(*await asyncio.open_connection(sock=near), write_timeout_s=0.05)
    yield stream, far
    await stream.close()
    far.close()


Ends = tuple[TcpStream, socket.socket]


async def test_bytes_arrive_and_the_end_is_empty(ends: Ends) -> None:
    stream, far = ends
    far.send(b"hello")
    assert await stream.read(3) == b"hel"
    assert await stream.read(100) == b"lo"
    far.close()
    assert await stream.read(100) == b""


async def test_written_bytes_leave_in_order(ends: Ends) -> None:
    stream, far = ends
    await stream.write(b"one ")
    await stream.write(b"two")
    assert await asyncio.get_running_loop().sock_recv(far, 100) == b"one two"


async def test_a_peer_that_reads_nothing_is_given_up(ends: Ends) -> None:
    stream, _ = ends
    with pytest.raises(StreamClosedError, match="stopped reading"):
        await stream.write(bytes(32 * 1024 * 1024))
    assert await stream.read(1) == b""


async def test_writing_to_a_lost_connection_says_so(ends: Ends) -> None:
    stream, far = ends
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    assert await stream.read(1) == b""
    with suppress(StreamClosedError):
        await stream.write(b"noticed now")
    with pytest.raises(StreamClosedError):
        await stream.write(b"or at the latest now")


async def test_the_peers_address_is_known(ends: Ends) -> None:
    stream, far = ends
    assert stream.peer == AddrPort.parse(f"127.0.0.1:{far.getsockname()[1]}")


async def test_small_writes_do_not_wait_for_acknowledgements(ends: Ends) -> None:
    sock = ends[0].transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_vanished_peer_is_noticed_by_the_kernel(ends: Ends) -> None:
    stream, _ = ends
    sock = stream.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


async def test_closing_twice_does_no_harm(ends: Ends) -> None:
    stream, _ = ends
    await stream.close()
    await stream.close()


async def test_tls_can_be_aborted_after_closing_twice(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    async def serve(stream: TcpStream) -> None:
        await stream.read(1)
        await stream.close()

    async with listening(serve, context) as port:
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=client_context(authority.file)
        )
        stream = TcpStream(reader, writer)
        await stream.close()
        await stream.close()
        stream.transport.abort()


async def test_a_prefix_is_read_first() -> None:
    left, right = stream_pair()
    stream = PrefixedStream(b"before", left)
    await right.write(b"after")
    assert await stream.read(3) == b"bef"
    assert await stream.read(100) == b"ore"
    assert await stream.read(100) == b"after"


async def test_a_prefixed_stream_writes_and_closes_the_one_beneath() -> None:
    left, right = stream_pair()
    stream = PrefixedStream(b"", left)
    await stream.write(b"out")
    assert await right.read(100) == b"out"
    await stream.close()
    assert left.closed


async def test_an_exact_number_of_bytes_is_collected() -> None:
    left, right = stream_pair()
    await right.write(b"ab")
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read_exactly(left, 4), name="reader")
        await asyncio.sleep(0)
        await right.write(b"cdef")
    assert reading.result() == b"abcd"
    assert await left.read(10) == b"ef"


async def test_a_stream_that_ends_too_early_says_so() -> None:
    left, right = stream_pair()
    await right.write(b"ab")
    await right.close()
    with pytest.raises(StreamClosedError):
        await read_exactly(left, 4)
