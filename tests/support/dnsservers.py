"""Name servers on loopback that answer as a test tells them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from appliance.protocol.addresses import AddrPort

NOWHERE = AddrPort(ip_address("127.0.0.1"), 0)
Behaviour = Callable[[bytes, str], list[bytes]]
"""The messages that answer a query over "udp" or "tcp"; none: silence."""


@dataclass
class LoopbackServer:
    """One name server; remembers what it was asked and how."""

    behave: Behaviour
    address: AddrPort = NOWHERE
    asked: list[tuple[str, bytes]] = field(default_factory=list)


@asynccontextmanager
async def name_server(behave: Behaviour) -> AsyncIterator[LoopbackServer]:
    server = LoopbackServer(behave)
    loop = asyncio.get_running_loop()

    class Udp(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.DatagramTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            server.asked.append(("udp", data))
            for reply in server.behave(data, "udp"):
                self.transport.sendto(reply, addr)

    async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            server.asked.append(("tcp", data))
            for reply in server.behave(data, "tcp"):
                writer.write(len(reply).to_bytes(2) + reply)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(tcp, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(Udp, ("127.0.0.1", port))
    server.address = AddrPort(ip_address("127.0.0.1"), port)
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        await listener.wait_closed()
