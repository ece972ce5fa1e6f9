"""A login server on loopback that tells any time, over TLS, in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from appliance.aio.stream import TcpStream
from tests.netns.lab.pki import ServerFiles
from tests.support.control import FakeCoordinator, listening


def server_context(files: ServerFiles) -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    return context


def saying(text: bytes) -> Callable[[TcpStream], Awaitable[None]]:
    """A server that answers anything with these bytes and hangs up."""

    async def serve(stream: TcpStream) -> None:
        await stream.read(4096)
        await stream.write(text)

    return serve


@contextmanager
def telling(date: datetime, files: ServerFiles) -> Iterator[str]:
    """A coordinator whose clock says ``date``; its URL."""
    ready, ports = threading.Event(), []
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loops.append((asyncio.get_running_loop(), over))
        async with listening(FakeCoordinator(date=date).serve, server_context(files)) as port:
            ports.append(port)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="time server")
    thread.start()
    assert ready.wait(10)
    try:
        yield f"https://localhost:{ports[0]}"
    finally:
        [(loop, over)] = loops
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
