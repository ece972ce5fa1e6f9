"""The relay inside another program's process: that program's HTTP front, this room's relay.

Where the front speaks plain HTTP, nodes cannot use it for DERP, which is always TLS; then the relay
opens a TLS port of its own, with a certificate that the DERP map names by its hash.
"""

import asyncio
import datetime
from pathlib import Path

from appliance.host.files import make_private_directory
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.relay.certificates import make_tls_context, prepare_certificate
from appliance.relay.listener import Listener
from appliance.relay.server import Admission, RelayServer
from appliance.relay.service import load_private_key
from appliance.relay.site import RelaySite
from appliance.relay.sockets import bind_udp, listen_tcp
from appliance.relay.stun import StunResponder


class EmbeddedRelay:
    """A relay whose connections come from somebody else's front; ``site`` takes them over."""

    def __init__(self, state_directory: Path, admit: Admission) -> None:
        """Read or make the relay's key; call it where the event loop runs."""
        make_private_directory(state_directory)
        self._directory = state_directory
        self._private_key = load_private_key(state_directory / "relay.key")
        self._server = RelayServer(self._private_key, admit)
        self.site = RelaySite(self._server)
        self._parts: list[Listener | StunResponder] = []

    def answer_stun(self, address: AddrPort) -> None:
        """Answer STUN on a UDP port; a ``RelayError`` when that is impossible."""
        self._add(StunResponder(bind_udp(address), self._server.counters))

    def listen(self, address: AddrPort, host: str) -> str:
        """Open a TLS port of its own for DERP; return the pin by which nodes know it."""
        certificate = prepare_certificate(
            None,
            host,
            self._private_key.public(),
            self._directory,
            datetime.datetime.now(datetime.UTC),
        )
        self._add(Listener(listen_tcp(address), self.site.handle, make_tls_context(certificate)))
        return certificate.pin or ""

    def expel(self, node: NodePublic) -> None:
        """Close the connections of a node that the other program no longer admits."""
        self._server.expel(node, "it is no longer part of the mesh")

    def close(self) -> None:
        """Close the ports of a relay that does not run."""
        for part in self._parts:
            part.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(), name="relay")
            for part in self._parts:
                tasks.create_task(part.run(), name=f"relay {type(part).__name__.lower()}")

    def _add(self, part: Listener | StunResponder) -> None:
        self._parts.append(part)
