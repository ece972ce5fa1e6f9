"""The relay program: its listeners and what they share."""

import asyncio
import datetime
import logging
import secrets
from pathlib import Path
from typing import Final

from appliance.host.errors import FileProblemError
from appliance.host.files import make_private_directory, read_bounded, write_atomic
from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate
from appliance.relay.admission import make_admission
from appliance.relay.certificates import (
    ServedCertificate,
    load_certificate,
    make_tls_context,
    prepare_certificate,
)
from appliance.relay.errors import CertificateError, RelayError
from appliance.relay.listener import Listener
from appliance.relay.server import RelayServer
from appliance.relay.settings import RelaySettings
from appliance.relay.site import RelaySite, handle_plain
from appliance.relay.sockets import bind_udp, listen_tcp
from appliance.relay.stun import StunResponder

_log = logging.getLogger(__name__)

RELOAD_S: Final = 3600.0
"""A renewed certificate is served an hour later at the latest; its issuer leaves weeks."""

MAX_KEY_FILE: Final = 4096


class RelayService:
    """A standalone relay: DERP over HTTPS, STUN, and plain HTTP for captive-portal checks."""

    def __init__(self, settings: RelaySettings) -> None:
        """Bind all ports and read all files; a ``RelayError`` leaves nothing behind."""
        self._settings = settings
        make_private_directory(settings.state_directory)
        self.private_key = load_private_key(settings.state_directory / "relay.key")
        self.certificate = self._prepare_certificate()
        self._tls = make_tls_context(self.certificate)
        self._server = RelayServer(self.private_key, make_admission(settings.admission))
        self._site = RelaySite(self._server)
        self._parts = self._open_ports()

    @property
    def server(self) -> RelayServer:
        """The relay behind the listeners."""
        return self._server

    @property
    def addresses(self) -> list[AddrPort]:
        """Where HTTPS is served."""
        return [listener.address for listener in self._parts if isinstance(listener, Listener)]

    def close(self) -> None:
        """Close the ports of a service that does not run."""
        for part in self._parts:
            part.close()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._server.run(), name="relay")
            tasks.create_task(self._reload_certificates(), name="relay certificates")
            for part in self._parts:
                tasks.create_task(part.run(), name=f"relay {type(part).__name__.lower()}")

    def _open_ports(self) -> list[Listener | StunResponder]:
        settings, counters = self._settings, self._server.counters
        parts: list[Listener | StunResponder] = []
        try:
            # extend, not +=: what is open already must be in the list when a later port fails.
            parts.extend(
                Listener(listen_tcp(address), self._site.handle, self._tls)
                for address in settings.listen
            )
            parts.extend(
                Listener(listen_tcp(address), handle_plain, None)
                for address in settings.listen_http
            )
            parts.extend(
                StunResponder(bind_udp(address), counters) for address in settings.listen_stun
            )
        except RelayError:
            for part in parts:
                part.close()
            raise
        return parts

    def _prepare_certificate(self) -> ServedCertificate:
        settings = self._settings
        return prepare_certificate(
            settings.certificate,
            settings.host,
            self.private_key.public(),
            settings.state_directory,
            datetime.datetime.now(datetime.UTC),
        )

    def reload_certificate(self) -> None:
        """Serve a renewed certificate to new connections, and keep our own part of it young."""
        try:
            load_certificate(self._tls, self._prepare_certificate())
        except (CertificateError, FileProblemError) as error:
            _log.warning("still serving the old certificate: %s", error)

    async def _reload_certificates(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_S)
            self.reload_certificate()


def load_private_key(path: Path) -> NodePrivate:
    """Read the relay's DERP key, or make it at the first start."""
    data = read_bounded(path, MAX_KEY_FILE)
    if data is None:
        key = NodePrivate.from_seed(secrets.token_bytes(32))
        write_atomic(path, key.text().encode() + b"\n")
        return key
    try:
        return NodePrivate.parse(data.decode("ascii", "replace").strip())
    except ProtocolError:
        raise RelayError(
            f"{path} does not hold the relay's key; restore it, or remove it to have one made."
        ) from None
