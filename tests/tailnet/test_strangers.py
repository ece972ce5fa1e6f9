"""Strangers can complete the Noise handshake: they cost us little, and nodes are served.

1,000 strangers ══ large bodies ══▶ coordinator (its own process) ◀── two nodes
"""

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from appliance.aio.connect import connect_tcp
from appliance.aio.errors import StreamError
from appliance.aio.stream import TcpStream
from appliance.protocol.keys import MachinePrivate, MachinePublic
from tests.support.coordinatorprogram import CoordinatorProgram
from tests.support.tailnet import NodeClient, drain

STRANGERS = 1000
AT_ONCE = 50
BODY = bytes(400_000)
UNFINISHED = bytes(60_000)
"""As much as fits into a stream's first window."""

BOUND = 150 * 1024 * 1024
"""What they may make the coordinator grow by: a connection with Noise and HTTP/2 takes about
100 KiB, and all strangers together may have 8 MiB buffered."""


async def connected(
    number: int, port: int, server: MachinePublic, stack: AsyncExitStack
) -> NodeClient:
    node = NodeClient(number, stack)
    sock = await connect_tcp("127.0.0.1", port)
    await node.connect(TcpStream(*await asyncio.open_connection(sock=sock)), server=server)
    return node


async def be_a_nuisance(stranger: NodeClient) -> int:
    """Leave one request unfinished, have another one cut off, and ask a last small thing."""
    client = stranger.client
    left_open = client._begin("POST", "/machine/register", (), end=False)
    await client._send_body(left_open, UNFINISHED, end=False)
    with suppress(StreamError):  # reset while it is being sent
        assert (await stranger.post("/machine/register", BODY)).status in (413, 503)
    return (await stranger.post("/machine/id-token", b"")).status


def resident_bytes(process: Path) -> int:
    """How much memory the program has in RAM (proc_pid_statm(5): the second number, in pages)."""
    return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.timeout(120)
async def test_a_thousand_strangers_with_large_bodies_do_not_matter(tmp_path: Path) -> None:
    with CoordinatorProgram(tmp_path) as program:
        assert program.process is not None
        server = MachinePrivate.parse((program.state / "noise.key").read_text().strip()).public()
        process = Path("/proc", str(program.process.pid))
        async with AsyncExitStack() as stack:
            nodes = [await connected(n, program.port, server, stack) for n in (1, 2)]
            key = program.new_key(reusable=True)
            for node in nodes:
                assert not (await node.register(key)).error
                await node.poll()
            await drain(nodes[0])
            before = resident_bytes(process)
            gate = asyncio.Semaphore(AT_ONCE)

            async def stranger(number: int) -> int:
                async with gate:
                    return await be_a_nuisance(await connected(number, program.port, server, stack))

            async with asyncio.TaskGroup() as tasks:
                strangers = [
                    tasks.create_task(stranger(1000 + number)) for number in range(STRANGERS)
                ]
                served = 0
                while not all(task.done() for task in strangers):
                    served += 1
                    await nodes[0].report(endpoints=(f"192.0.2.1:{served}",))
                    told = await nodes[1].next(timeout_s=5)
                    assert told.peers_changed_patch is not None
                    await asyncio.sleep(0.1)
            grown = resident_bytes(process) - before
            print(f"{STRANGERS} strangers: {grown / 2**20:.0f} MiB more, {served} reports served")
            assert {task.result() for task in strangers} == {501}
            assert len(list((process / "fd").iterdir())) > STRANGERS, "they are still connected"
            assert grown < BOUND
            late = await connected(3, program.port, server, stack)
            assert not (await late.register(key)).error
            with suppress(StreamError):
                await late.poll()
            assert late.self_node is not None
