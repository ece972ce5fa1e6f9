"""Many idle nodes in one process: registered, with a map stream and a relay connection each.

Usage: `python -m tests.bench.crowd HOST KEY_FILE NUMBER`, inside a lab host. Prints `ready` when
every node has its first netmap and is logged in to the relay, then idles until killed.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from appliance.aio.tls import client_context
from appliance.controlclient.config import ControlConfig, ControlUrl, NodeReport
from appliance.controlclient.service import ControlClient
from appliance.protocol.addresses import AddrPort, parse_ip
from appliance.protocol.derp.client import DerpClientSession, LoggedIn
from appliance.protocol.keys import KEY_SIZE, DiscoPrivate, MachinePrivate, NodePrivate
from appliance.protocol.tailcfg import EndpointType, Hostinfo, MapResponse, NetInfo

_REGION = 900
_AT_ONCE = 8  # joining at the same time


class Member:
    """One node of the crowd."""

    def __init__(self, number: int, host: str) -> None:
        self._host = host
        self._node = NodePrivate.from_seed(secrets.token_bytes(KEY_SIZE))
        self._mapped = asyncio.Event()
        report = NodeReport(
            Hostinfo(hostname=f"crowd-{number}", os="linux"),
            DiscoPrivate.from_seed(secrets.token_bytes(KEY_SIZE)).public(),
            ((AddrPort(parse_ip(f"203.0.113.{number % 100 + 100}"), 41641), EndpointType.LOCAL),),
            NetInfo(preferred_derp=_REGION, working_udp=True),
        )
        machine = MachinePrivate.from_seed(secrets.token_bytes(KEY_SIZE))
        url = ControlUrl.parse(f"https://{host}")
        self._client = ControlClient(ControlConfig(url, machine), self._node, report, self)

    def node_key_renewed(self, key: NodePrivate) -> None:
        """Nothing is kept."""

    def map_received(self, message: MapResponse, *, first: bool) -> None:
        """The netmap itself is not kept either."""
        self._mapped.set()

    async def join(self, auth_key: str, tasks: asyncio.TaskGroup) -> None:
        """Register, wait for the first netmap, log in to the relay, and stay."""
        self._client.log_in(auth_key)
        tasks.create_task(self._client.run(), name="control")
        await self._mapped.wait()
        session, reader, writer = await self._open_relay()
        tasks.create_task(self._stay(session, reader, writer), name="relay")

    async def _open_relay(
        self,
    ) -> tuple[DerpClientSession, asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, 443, ssl=client_context())
        session = DerpClientSession(
            self._node,
            self._host,
            nonce=secrets.token_bytes(24),
            now=asyncio.get_running_loop().time(),
            preferred=True,
        )
        events: list[object] = []
        while not any(isinstance(event, LoggedIn) for event in events):
            writer.write(session.data_to_send())
            data = await reader.read(1 << 16)
            assert data, "the relay closed the connection"
            events += session.receive_data(data, asyncio.get_running_loop().time())
        return session, reader, writer

    async def _stay(
        self,
        session: DerpClientSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        while data := await reader.read(1 << 16):
            session.receive_data(data, asyncio.get_running_loop().time())
            writer.write(session.data_to_send())


async def main(host: str, key_file: str, number: int) -> None:
    """Let all of them join, then idle."""
    auth_key = Path(key_file).read_text(encoding="ascii").strip()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def join(member: Member, tasks: asyncio.TaskGroup) -> None:
        async with gate:
            await member.join(auth_key, tasks)

    async with asyncio.TaskGroup() as tasks:
        members = [Member(n, host) for n in range(number)]
        await asyncio.gather(*(join(member, tasks) for member in members))
        print("ready", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
