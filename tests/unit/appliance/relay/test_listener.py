"""The port that anybody can reach."""

import asyncio
import datetime
import ssl
from pathlib import Path

from appliance.relay import certificates, listener
from tests.support.derp import RELAY, node_key, relay_node
from tests.support.relay import running_relay

A, B = node_key(1), node_key(2)


async def ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    return answer


async def test_plain_requests_are_answered() -> None:
    async with running_relay() as relay:
        request = b"GET /derp/probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert (await ask(relay.port, request)).startswith(b"HTTP/1.1 200")


async def test_a_request_with_a_long_head_is_refused() -> None:
    async with running_relay() as relay:
        request = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * listener.LIMITS.header_bytes
        assert b" 431 " in (await ask(relay.port, request)).split(b"\r\n")[0]


async def test_a_connection_is_no_stranger_after_its_upgrade() -> None:
    async with running_relay() as relay, relay_node(A, relay.port):
        assert relay.listener.strangers == 0


async def test_above_the_limit_the_oldest_gives_way_after_a_moment() -> None:
    async with running_relay(max_strangers=3) as relay:
        idle = [await asyncio.open_connection("127.0.0.1", relay.port) for _ in range(6)]
        async with relay_node(A, relay.port), relay_node(B, relay.port) as b:
            await b.ping()
            assert relay.listener.strangers <= 3
        for _, writer in idle:
            writer.transport.abort()


async def test_a_burst_of_nodes_above_the_limit_all_get_in() -> None:
    async with running_relay(max_strangers=3) as relay, asyncio.TaskGroup() as tasks:

        async def come_and_go(number: int) -> None:
            async with relay_node(node_key(number), relay.port) as node:
                await node.ping()

        for number in range(1, 13):
            tasks.create_task(come_and_go(number), name=f"node {number}")


async def test_tls_is_spoken_and_nothing_else(tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    served = certificates.prepare_certificate(None, "127.0.0.1", RELAY.public(), tmp_path, now)
    trust = ssl.create_default_context(cafile=str(tmp_path / "self-signed.pem"))
    async with running_relay(tls=certificates.make_tls_context(served)) as relay:
        assert b"HTTP" not in await ask(relay.port, b"GET / HTTP/1.1\r\n\r\n")
        async with (
            relay_node(A, relay.port, tls=trust) as a,
            relay_node(B, relay.port, tls=trust, relay_key=RELAY.public()) as b,
        ):
            a.send(B.public(), *[bytes(1400)] * 500)
            assert len(await b.receive(500)) == 500
