"""The coordinator as a program: opens what it needs, listens, runs until cancelled."""

import asyncio
import logging
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.adminapi.server import serve_admin_api
from appliance.aio.listener import serve_connections
from appliance.coordinator.admin import explain
from appliance.coordinator.adminsocket import Admins, open_admin_socket
from appliance.coordinator.errors import CoordinatorError, StartError
from appliance.coordinator.listen import load_tls, open_listener, renew_tls
from appliance.coordinator.policy.load import load_policy_text
from appliance.coordinator.relayport import EmbeddedRelay, RelayFactory
from appliance.coordinator.server import Coordinator
from appliance.coordinator.settings import Settings, parse_listen
from appliance.coordinator.statedir import StateDir
from appliance.coordinator.storage.database import Database
from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import AddrPort, IPAddress, parse_ip
from appliance.protocol.keys import NodePublic

_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the wall clock's time."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Resources:
    """What is opened before anything is served, so that a start fails as a whole."""

    state_dir: StateDir
    database: Database
    policy_text: str | None
    """Of the policy file, if the settings name one."""
    tls: ssl.SSLContext | None
    listener: socket.socket
    admins: Admins
    admin_socket: socket.socket

    @classmethod
    def acquire(cls, settings: Settings) -> "Resources":
        """Open everything, or raise ``StartError`` with nothing left open."""
        with ExitStack() as opened:
            policy_text = load_policy_text(settings.policy_file)
            tls = load_tls(settings.tls)
            listener = opened.enter_context(open_listener(*settings.listen_address))
            state_dir = StateDir(Path(settings.state_dir))
            opened.callback(state_dir.release)
            database = Database(state_dir.database)
            opened.callback(database.close)
            admins = Admins.of_group(settings.admin_group)
            admin_socket = opened.enter_context(
                open_admin_socket(Path(settings.admin_socket), admins)
            )
            opened.pop_all()
        return cls(state_dir, database, policy_text, tls, listener, admins, admin_socket)

    def release(self) -> None:
        """Close everything."""
        self.admin_socket.close()
        self.listener.close()
        self.database.close()
        self.state_dir.release()


class Service:
    """The program; make it where the event loop runs."""

    def __init__(
        self, settings: Settings, resources: Resources, make_relay: RelayFactory | None
    ) -> None:
        self._settings = settings
        self._resources = resources
        self._relay = self._make_relay(make_relay)
        pin = self._open_relay_ports()
        self._coordinator = Coordinator(
            settings,
            resources.database,
            resources.database.load(),
            resources.state_dir.noise_key(),
            utc_now,
            resources.policy_text,
            self._relay.site if self._relay else None,
            pin,
        )
        if self._relay is not None:
            self._coordinator.on_outcast(self._relay.expel)

    async def run(self) -> None:
        """Serve until cancelled."""
        resources, coordinator = self._resources, self._coordinator
        name = resources.listener.getsockname()
        _log.info("Listening on %s, port %s, for %s.", name[0], name[1], self._settings.url)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(coordinator.run(), name="coordinator")
            if self._relay is not None:
                tasks.create_task(self._relay.run(), name="embedded relay")
            tasks.create_task(
                serve_connections(
                    resources.listener, coordinator.serve_stream, name="front", tls=resources.tls
                ),
                name="front",
            )
            tasks.create_task(
                serve_admin_api(
                    resources.admin_socket,
                    coordinator.admin,
                    resources.admins.may_call,
                    explain,
                ),
                name="admin api",
            )

    async def reload(self) -> None:
        """Read the policy file and the certificate again; what is wrong stays as it was."""
        failures: list[str] = []
        try:
            await self._coordinator.policies.reload()
        except CoordinatorError as error:
            failures.append(f"The policy was not reloaded: {error}")
        try:
            if self._resources.tls is not None:
                renew_tls(self._resources.tls, self._settings.tls)
        except StartError as error:
            failures.append(f"The certificate was not reloaded: {error}")
        for failure in failures:
            _log.error("%s", failure)
        if not failures:
            _log.info("Policy and certificate were read again.")

    async def _admit(self, key: NodePublic, address: IPAddress | None) -> bool:
        return await self._coordinator.admit(key, address)

    def _make_relay(self, make_relay: RelayFactory | None) -> EmbeddedRelay | None:
        if not self._settings.derp.embedded:
            return None
        if make_relay is None:
            raise StartError(
                "This way of starting brings no relay: run `latchkey coordinator`, or set "
                "derp.embedded = false and name a relay in derp.regions.",
                ExitStatus.CONFIG_WRONG,
            )
        return make_relay(self._resources.state_dir.path / "relay", self._admit)

    def _open_relay_ports(self) -> str:
        """Open the embedded relay's ports; return the pin of its own certificate, if any."""
        settings, relay = self._settings, self._relay
        if relay is None:
            return ""
        try:
            if settings.derp.stun_listen:
                relay.answer_stun(_any_address(*parse_listen(settings.derp.stun_listen)))
            if own := settings.relay_listen_address:
                return relay.listen(_any_address(*own), settings.derp.host or settings.host)
        except BaseException:
            relay.close()
            raise
        return ""


def _any_address(host: str, port: int) -> AddrPort:
    return AddrPort(parse_ip(host or "::"), port)
