"""The coordinator as a whole: opens what it needs, joins its parts, runs until cancelled."""

import asyncio
import logging
import socket
import ssl
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from appliance.adminapi.server import serve_admin_api
from appliance.aio.http1 import serve_http1
from appliance.aio.listener import serve_connections
from appliance.aio.stream import Stream
from appliance.coordinator.admin import Admin, explain
from appliance.coordinator.adminsocket import Admins, open_admin_socket
from appliance.coordinator.derpmap import tailnet_of
from appliance.coordinator.errors import StartError
from appliance.coordinator.front import Front
from appliance.coordinator.housekeeping import Housekeeping
from appliance.coordinator.listen import load_tls, open_listener
from appliance.coordinator.mapper.view import first_view
from appliance.coordinator.mapstream import MapStreams
from appliance.coordinator.noiseapi import NoiseApi, limits_of_nodes, limits_of_strangers
from appliance.coordinator.pings import Pings
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.polls import Polls
from appliance.coordinator.presence import Presence
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.registration import Terms
from appliance.coordinator.relayport import EmbeddedRelay, RelayFactory
from appliance.coordinator.settings import Settings, parse_listen
from appliance.coordinator.state import State, settle
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
    tls: ssl.SSLContext | None
    listener: socket.socket
    admins: Admins
    admin_socket: socket.socket

    @classmethod
    def acquire(cls, settings: Settings) -> "Resources":
        """Open everything, or raise ``StartError`` with nothing left open."""
        with ExitStack() as opened:
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
        return cls(state_dir, database, tls, listener, admins, admin_socket)

    def release(self) -> None:
        """Close everything."""
        self.admin_socket.close()
        self.listener.close()
        self.database.close()
        self.state_dir.release()


@dataclass(slots=True)
class Coordinator:
    """The parts, joined; make it where the event loop runs."""

    settings: Settings
    resources: Resources
    make_relay: RelayFactory | None = None
    state: State = field(init=False)
    registrar: Registrar = field(init=False)
    pings: Pings = field(init=False)
    polls: Polls = field(init=False)
    front: Front = field(init=False)
    _presence: Presence = field(init=False)
    _relay: EmbeddedRelay | None = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        snapshot = settle(self.resources.database.load(), utc_now())
        self._relay, pin = self._embed_relay()
        view = first_view(snapshot, tailnet_of(settings, pin), AllowAll())
        self.state = State(self.resources.database, view, utc_now)
        self.polls = Polls()
        self.state.subscribe(self.polls.on_change)
        self._presence = Presence(self.state, self.polls)
        terms = Terms(settings.pool, settings.key_lifetime)
        self.registrar = Registrar(self.state, terms, settings.url, utc_now)
        self.pings = Pings(self.polls, settings.host)
        noise = NoiseApi(
            self.state,
            self.registrar,
            MapStreams(self.state, self._presence, utc_now),
            self.pings,
            utc_now,
            limits_of_nodes(),
            limits_of_strangers(),
        )
        self.front = Front(
            self.resources.state_dir.noise_key(),
            self.state,
            self.registrar,
            noise.serve,
            self._relay.site if self._relay else None,
        )

    async def run(self) -> None:
        """Serve until cancelled."""
        self._presence.start()
        housekeeping = Housekeeping(self.state, self.settings.ephemeral_timeout_s)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.state.run(), name="state")
                tasks.create_task(housekeeping.run(), name="housekeeping")
                if self._relay is not None:
                    tasks.create_task(self._relay.run(), name="embedded relay")
                tasks.create_task(self._serve(), name="front")
                tasks.create_task(self._serve_admin(), name="admin api")
        finally:
            self._presence.stop()

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one connection."""
        await serve_http1(stream, self.front.handle)

    async def admit(self, key: NodePublic, _address: IPAddress | None) -> bool:
        """Whether a node may use the embedded relay."""
        return self.front.knows(key)

    async def _serve(self) -> None:
        name = self.resources.listener.getsockname()
        _log.info("Listening on %s port %s for %s.", name[0], name[1], self.settings.url)
        await serve_connections(
            self.resources.listener, self.serve_stream, name="front", tls=self.resources.tls
        )

    async def _serve_admin(self) -> None:
        admin = Admin(self.settings, self.state, self.registrar, self.polls, self.pings, utc_now)
        resources = self.resources
        await serve_admin_api(resources.admin_socket, admin, resources.admins.may_call, explain)

    def _embed_relay(self) -> tuple[EmbeddedRelay | None, str]:
        """Open the relay's ports; return it and the pin of its own certificate."""
        settings = self.settings
        if not settings.derp.embedded:
            return None, ""
        if self.make_relay is None:
            raise StartError(
                "This way of starting brings no relay: run `latchkey coordinator`, or set "
                "derp.embedded = false and name a relay in derp.regions.",
                ExitStatus.CONFIG_WRONG,
            )
        relay = self.make_relay(self.resources.state_dir.path / "relay", self.admit)
        pin = ""
        try:
            if settings.derp.stun_listen:
                relay.answer_stun(_any_address(*parse_listen(settings.derp.stun_listen)))
            if own := settings.relay_listen_address:
                host = settings.derp.host or settings.host
                pin = relay.listen(_any_address(*own), host)
        except BaseException:
            relay.close()
            raise
        return relay, pin


def _any_address(host: str, port: int) -> AddrPort:
    return AddrPort(parse_ip(host or "::"), port)
