"""How this node stands: the owner's prefs, the login, the netmap, and how far a session has come.

A session reports here (``session.SessionOwner``), plans are made from what is here (``inputs``),
and every change of note becomes a ``Progress`` that front ends wait for.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from appliance.agent.autoexit import AutoExit
from appliance.agent.coordinatorfile import Membership
from appliance.agent.plan.gateway import sheltered
from appliance.agent.plan.inputs import Inputs, RouteMemory, Surroundings
from appliance.agent.plan.routes import advertised, approved_routes, next_memory
from appliance.agent.reconfigure import close_the_door
from appliance.agent.rooms import Rooms
from appliance.agent.session import ControlOpener, Session
from appliance.agent.settings import Settings
from appliance.agent.state import BackendState, Facts, backend_state
from appliance.agent.statefile import State, StateStore
from appliance.agent.watch import Watch
from appliance.aio.latest import Latest
from appliance.controlclient.clocks import ClockReading, since_boot
from appliance.controlclient.dial import MAX_CLOCK_OFFSET
from appliance.exit_status import ExitStatus
from appliance.host.marks import FWMARK
from appliance.localapi.types import Failure, Prefs, Progress
from appliance.netmap.model import NetworkMap
from appliance.protocol.addresses import IPNetwork
from appliance.underlay.config import UnderlayStatus

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """Whether a session should live, and which: a new ``number`` replaces the running one."""

    run: bool
    number: int
    asked: bool = False
    """Somebody waits for the outcome, so a failure ends it instead of being tried again."""


class Standing:
    """What is known of this node now; keeps the ``SessionOwner`` contract."""

    def __init__(
        self,
        settings: Settings,
        store: StateStore,
        rooms: Rooms,
        around: Latest[Surroundings],
        open_control: ControlOpener,
    ) -> None:
        self.settings = settings
        self.store = store
        self.rooms = rooms
        self.around = around
        self.open_control = open_control
        self.state: State = store.load()
        self.netmap: NetworkMap | None = store.load_netmap() if self.state.logged_in else None
        self._kept_netmap = self.netmap
        self.session: Session | None = None
        """The one that lives; none while the owner wants no connection."""
        self.auth_key = ""
        self.auth_url = ""
        self.login_needed = False
        self.failure: Failure | None = None
        self.is_configured = False
        self.is_control_online = False
        self.control_problem = ""
        self.wish = Latest(Wish(run=self.state.prefs.want_running, number=0))
        self.progress = Latest(Progress(seq=1, state=self.backend_state().value))
        self._auto_exit = AutoExit()
        self._clock_reading = ClockReading(datetime.now(UTC), since_boot())
        self.watch_routes = Watch(rooms.gateway, settings.interface)

    # What a session reports.

    async def close_the_door(self) -> None:
        """Let nothing in, and behind an exit node nothing out, until the machine is configured."""
        prefs, around = self.state.prefs, self.around.value
        wanted = prefs.exit_node_allow_lan_access
        lan = around.internal | around.uplink if wanted else sheltered(around)
        await close_the_door(
            self.rooms,
            self.settings.interface,
            self.settings.port,
            FWMARK,
            lan if prefs.exit_node else None,
            lan_access=wanted,
            hold_dns=prefs.accept_dns,
        )

    def took_netmap(self, netmap: NetworkMap) -> None:
        """Remember a new netmap."""
        self.netmap = netmap
        self.publish()

    def keep_netmap(self) -> None:
        """Write the netmap to disk if it changed; blocks for the disk."""
        netmap = self.netmap
        if netmap is not self._kept_netmap:
            self.store.save_netmap(netmap)
            self._kept_netmap = netmap

    def logged_in(self) -> None:
        """Remember that the coordinator admitted the node key."""
        self.auth_key = ""
        self.auth_url = ""
        self.login_needed = False
        self.change_state(logged_in=True)
        self.publish()

    def needs_login(self, auth_url: str = "") -> None:
        """Remember that a person must log in."""
        self.login_needed = True
        self.auth_url = auth_url
        self.publish()

    def configured(self, *, done: bool) -> None:
        """Remember whether the machine matches the netmap."""
        if done:
            self.failure = None
        self.is_configured = done
        self.watch_routes.kick()
        self.publish()

    def control_online(self, *, online: bool, problem: str = "") -> None:
        """Remember whether the coordinator is connected, and why not."""
        self.is_control_online = online
        self.control_problem = problem

    def clock_differs(self, offset: timedelta) -> None:
        """Remember how far the coordinator's clock is ahead of ours."""
        self._clock_reading = ClockReading(datetime.now(UTC) + offset, since_boot())

    def failed(self, message: str, status: ExitStatus) -> None:
        """Remember why it does not work."""
        if self.failure is None or self.failure.message != message:
            _log.warning("%s", message)
        self.failure = Failure(code=status.code, message=message)
        self.publish()

    def gave_up(self, message: str, status: ExitStatus) -> None:
        """Stop after an ``up`` that failed; nothing of it stays on the machine."""
        self.auth_key = ""
        self.login_needed = not self.state.logged_in
        self.change_prefs(msgspec.structs.replace(self.state.prefs, want_running=False))
        self.failed(message, status)
        self.ask(run=False)

    def ended(self) -> None:
        """Forget the session, and what was true through it."""
        self.session = None
        self.is_configured = False
        self.watch_routes.forget()
        self.is_control_online = False

    # What changes it.

    def change_state(self, **fields: Any) -> None:
        """Change fields of the state, on disk too."""
        state = msgspec.structs.replace(self.state, **fields)
        if state != self.state:
            self.state = state
            self.store.save(state)

    def change_prefs(self, prefs: Prefs) -> None:
        """Keep new prefs, and have a session follow them."""
        self.change_state(prefs=prefs)
        if self.session is not None:
            self.session.wishes_changed()

    def ask(self, *, run: bool) -> None:
        """Want a new session, or none."""
        self.wish.set(Wish(run=run, number=self.wish.value.number + 1, asked=run))

    def begin_login(self, auth_key: str) -> None:
        """Forget how it ended the last time; who is logged in needs no key."""
        self.failure = None
        self.auth_key = auth_key if not self.state.logged_in else ""
        self.login_needed = False
        self.auth_url = ""

    def forget_login(self) -> None:
        """Be a node that has not joined yet, with a key of its own."""
        self.netmap = self._kept_netmap = None
        self.store.save_netmap(None)
        self.change_state(logged_in=False, node_key=self.store.new_node_key().text())

    def remember_routes(self) -> RouteMemory:
        """Take note of the networks around, and return what follows for our routes."""
        inputs = self.inputs()
        approved = approved_routes(inputs) if inputs is not None else frozenset()
        before = self.state.route_memory()
        after = next_memory(before, self.state.prefs, self.around.value, approved)
        if after != before:
            self.change_state(
                held_routes=tuple(sorted(map(str, after.held))),
                served_lans=tuple(sorted(map(str, after.served))),
            )
        return after

    def publish(self) -> Progress:
        """Tell who waits for it how far it has come."""
        before = self.progress.value
        after = Progress(
            seq=before.seq + 1,
            state=self.backend_state().value,
            auth_url=self.auth_url,
            failure=self.failure,
        )
        self.progress.set(after)
        return after

    # What follows from it.

    def inputs(self) -> Inputs | None:
        """Return what plans are made from; ``None`` while there is no netmap."""
        if self.netmap is None:
            return None
        return Inputs(
            netmap=self.netmap,
            prefs=self._auto_exit.resolve(
                self.state.prefs, self.netmap, self.underlay_status(), datetime.now(UTC)
            ),
            around=self.around.value,
            node_key=self.state.node,
            disco_key=self.state.disco,
            interface=self.settings.interface,
            listen_port=self.settings.port,
            fwmark=FWMARK,
            now=datetime.now(UTC),
            memory=self.state.route_memory(),
        )

    def offered_routes(self) -> tuple[IPNetwork, ...]:
        """Return the subnets to advertise now."""
        memory = self.remember_routes()
        return advertised(self.state.prefs, self.around.value, memory)

    def membership(self) -> Membership:
        """Return how this node stands to meshes."""
        joined = self.state.logged_in
        return Membership(
            mesh_url=self.state.prefs.control_url if joined else "",
            has_peers=joined and self.netmap is not None and bool(self.netmap.peers),
            addresses=self.around.value.network.addresses,
        )

    def backend_state(self) -> BackendState:
        """Return the one word for it."""
        netmap = self.netmap
        return backend_state(
            Facts(
                want_running=self.state.prefs.want_running,
                logged_in=self.state.logged_in,
                key_offered=bool(self.auth_key),
                login_needed=self.login_needed,
                has_netmap=netmap is not None,
                machine_authorized=netmap is not None and netmap.self_node.machine_authorized,
                configured=self.is_configured,
            )
        )

    def underlay_status(self) -> UnderlayStatus:
        """Return what the session's underlay knows; nothing without a session."""
        return self.session.underlay_status if self.session else UnderlayStatus()

    def clock_offset(self) -> timedelta:
        """Return how far the coordinator's clock is ahead now; zero: not worth a word."""
        offset = self._clock_reading.offset(datetime.now(UTC), since_boot())
        return offset if abs(offset) > MAX_CLOCK_OFFSET else timedelta(0)
