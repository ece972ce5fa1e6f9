"""The agent itself: holds prefs, netmap and progress, and answers the Local API.

``run`` keeps one session alive while the owner wants one (``session``); every change of prefs,
netmap or attached networks only sets a flag there, and the session makes the machine match.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from appliance.agent.answers import exit_options, netcheck_report, ping_reply
from appliance.agent.autoexit import AutoExit
from appliance.agent.coordinatorfile import Membership
from appliance.agent.doctor.service import Condition, Prober, ask_dhcp, examine, explain
from appliance.agent.failures import MACHINE_ERRORS, status_of
from appliance.agent.health import HealthFacts, plan_warnings
from appliance.agent.plan.gateway import sheltered
from appliance.agent.plan.inputs import Inputs, RouteMemory, Surroundings
from appliance.agent.plan.routes import (
    advertised,
    approved_routes,
    exit_node_of,
    next_memory,
    serves_exit,
)
from appliance.agent.reconfigure import close_the_door
from appliance.agent.rooms import Rooms
from appliance.agent.routefacts import RouteKey, key_of, routes_meant
from appliance.agent.session import ControlOpener, Session
from appliance.agent.settings import Settings
from appliance.agent.state import BackendState, Facts, backend_state
from appliance.agent.statefile import State, StateStore
from appliance.agent.status import Sight, render_status
from appliance.agent.watch import Watch
from appliance.agent.wishes import check_routes, checked_url, edited
from appliance.aio import names
from appliance.aio.latest import Latest
from appliance.dataplane.errors import DataplaneError
from appliance.exit_status import ExitStatus
from appliance.gateway.errors import GatewayError
from appliance.gateway.profile import Setting
from appliance.health.catalogue import HealthWarning, warn
from appliance.health.tracker import HealthTracker
from appliance.host.marks import FWMARK
from appliance.localapi.server import BackendError
from appliance.localapi.types import (
    DoctorReport,
    ExitOptions,
    Failure,
    NetcheckReport,
    PingReply,
    Prefs,
    Progress,
    Routes,
    RouteStatus,
    Status,
    UpRequest,
)
from appliance.netmap.model import NetworkMap
from appliance.protocol.addresses import IPAddress, IPNetwork, parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import PingResult, UnderlayStatus

_log = logging.getLogger(__name__)

HEALTH_S = 5.0
"""Warnings come and go by themselves at this pace; front ends see them at once."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """Whether a session should live, and which: a new ``number`` replaces the running one."""

    run: bool
    number: int
    asked: bool = False
    """Somebody waits for the outcome, so a failure ends it instead of being tried again."""


class Agent:
    """The node agent; keeps the ``Backend`` contract of the Local API."""

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
        self._session: Session | None = None
        self._auth_key = ""
        self._auth_url = ""
        self._login_needed = False
        self._failure: Failure | None = None
        self._configured = False
        self._control_online = False
        self._control_problem = ""
        self._wish = Latest(_Wish(run=self.state.prefs.want_running, number=0))
        self._progress = Latest(Progress(seq=1, state=self._backend_state().value))
        self._health = HealthTracker()
        self._auto_exit = AutoExit()
        self._clock_offset = timedelta(0)
        self.watch_routes = Watch(rooms.gateway, settings.interface)

    async def run(self) -> None:
        """Keep the mesh as the owner wants it, until cancelled; then let go of the machine."""
        names.SPARE.set(self._look_up_past_the_tunnel)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_session(), name="session keeper")
            tasks.create_task(self._watch_networks(), name="network watcher")
            tasks.create_task(self._watch_health(), name="health watcher")

    async def clean_up(self) -> None:
        """Remove everything of ours from the machine."""
        await self.rooms.dns.clean_up()
        await self.rooms.peerapi.clean_up()
        await self.rooms.dataplane.clean_up()
        await self.rooms.gateway.clean_up()

    async def begin(self) -> None:
        """Block what belongs into an exit node's tunnel, before anybody is told that we run.

        A machine that cannot do that says so later, when it is to be configured.
        """
        if self.state.prefs.want_running and self.state.prefs.exit_node:
            try:
                await self.close_the_door()
            except MACHINE_ERRORS as error:
                self.failed(str(error), status_of(error))

    async def end(self) -> None:
        """Let go of the machine, but not of an exit node's traffic: it waits for the next start."""
        if not (self.state.prefs.want_running and self.state.prefs.exit_node):
            await self.clean_up()
            return
        _log.warning(
            "The exit node's traffic is held back until the agent is there again; `latchkey agent "
            "--clean-up` lets it out."
        )
        await self.rooms.dns.clean_up()
        await self.rooms.peerapi.clean_up()
        await self.rooms.dataplane.close(remove=False)

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

    # What the session reports.

    def took_netmap(self, netmap: NetworkMap) -> None:
        """Remember a new netmap."""
        self.netmap = netmap
        self._publish()

    def keep_netmap(self) -> None:
        """Write the netmap to disk if it changed; blocks for the disk."""
        netmap = self.netmap
        if netmap is not self._kept_netmap:
            self.store.save_netmap(netmap)
            self._kept_netmap = netmap

    def logged_in(self) -> None:
        """Remember that the coordinator admitted the node key."""
        self._auth_key = ""
        self._auth_url = ""
        self._login_needed = False
        self.change_state(logged_in=True)
        self._publish()

    def needs_login(self, auth_url: str = "") -> None:
        """Remember that a person must log in."""
        self._login_needed = True
        self._auth_url = auth_url
        self._publish()

    def configured(self, *, done: bool) -> None:
        """Remember whether the machine matches the netmap."""
        if done:
            self._failure = None
        self._configured = done
        self.watch_routes.kick()
        self._publish()

    def control_online(self, *, online: bool, problem: str = "") -> None:
        """Remember whether the coordinator is connected, and why not."""
        self._control_online = online
        self._control_problem = problem

    def clock_differs(self, offset: timedelta) -> None:
        """Remember how far the coordinator's clock is ahead of ours."""
        self._clock_offset = offset

    def failed(self, message: str, status: ExitStatus) -> None:
        """Remember why it does not work."""
        if self._failure is None or self._failure.message != message:
            _log.warning("%s", message)
        self._failure = Failure(code=status.code, message=message)
        self._publish()

    def gave_up(self, message: str, status: ExitStatus) -> None:
        """Stop after an ``up`` that failed; nothing of it stays on the machine."""
        self._auth_key = ""
        self._login_needed = not self.state.logged_in
        self._set_prefs(msgspec.structs.replace(self.state.prefs, want_running=False))
        self.failed(message, status)
        self._ask(run=False)

    def change_state(self, **fields: Any) -> None:
        """Change fields of the state, on disk too."""
        state = msgspec.structs.replace(self.state, **fields)
        if state != self.state:
            self.state = state
            self.store.save(state)

    def inputs(self) -> Inputs | None:
        """Return what plans are made from; ``None`` while there is no netmap."""
        if self.netmap is None:
            return None
        return Inputs(
            netmap=self.netmap,
            prefs=self._auto_exit.resolve(
                self.state.prefs, self.netmap, self._underlay_status(), datetime.now(UTC)
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
        memory = self._remember_routes()
        return advertised(self.state.prefs, self.around.value, memory)

    def membership(self) -> Membership:
        """Return how this node stands to meshes."""
        joined = self.state.logged_in
        return Membership(
            mesh_url=self.state.prefs.control_url if joined else "",
            has_peers=joined and self.netmap is not None and bool(self.netmap.peers),
            addresses=self.around.value.network.addresses,
        )

    # What front ends ask for.

    def status(self) -> Status:
        """Tell how things stand."""
        underlay = self._underlay_status()
        inputs = self.inputs() if self.state.logged_in else None
        routes = self.watch_routes.routes(inputs) if inputs is not None else ()
        self._judge_health(inputs, routes)
        sight = Sight(
            state=self._backend_state(),
            have_node_key=self.state.logged_in,
            auth_url=self._auth_url,
            control_online=self._control_online,
            health=self._health.raised,
            routes=routes,
            exit_ipv6=self._exit_ipv6(inputs),
            dataplane=self.rooms.dataplane.kind if self._session else "",
            underlay=underlay,
            device=self._observe(),
        )
        return render_status(sight, inputs)

    def prefs(self) -> Prefs:
        """Tell the owner's wishes."""
        return self.state.prefs

    async def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        """Change wishes, all or none; the machine follows at once."""
        prefs = edited(self.state.prefs, changes)
        await check_routes(prefs, self.netmap, self.around.value.network)
        self._set_prefs(prefs)
        return self.state.prefs

    async def up(self, request: UpRequest) -> Progress:
        """Start connecting; a running session stays unless the login changes."""
        prefs = edited(
            self.state.prefs, {**request.prefs, "want_running": True, "logged_out": False}
        )
        await check_routes(prefs, self.netmap, self.around.value.network)
        if not prefs.control_url:
            raise BackendError(
                ExitStatus.USAGE.code,
                "Say which coordinator to log in to: latchkey up --login-server URL.",
            )
        checked_url(prefs.control_url)
        moved = prefs.control_url != self.state.prefs.control_url and self.state.logged_in
        if request.force_reauth or moved:
            self._forget_login()
        self._failure = None
        self._auth_key = request.auth_key if not self.state.logged_in else ""
        login = not self.state.logged_in
        self._login_needed = False
        self._auth_url = ""
        self._set_prefs(prefs)
        if login or not self._wish.value.run:
            self._ask(run=True)
        return self._publish()

    async def down(self) -> Progress:
        """Disconnect; returns when every change to the machine is undone."""
        self._set_prefs(msgspec.structs.replace(self.state.prefs, want_running=False))
        await self._stop_session()
        await self.clean_up()  # also what a killed agent left before this one started
        return self._publish()

    async def logout(self) -> Progress:
        """Give the node key up and disconnect."""
        if self._session is not None:
            await self._session.log_out()
        self._forget_login()
        prefs = msgspec.structs.replace(self.state.prefs, want_running=False, logged_out=True)
        self._set_prefs(prefs)
        await self._stop_session()
        self._login_needed = True
        return self._publish()

    async def watch(self, after: int, timeout_s: float) -> Progress:
        """Wait for progress beyond ``after``, or return the present one in time."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._progress.wait_for(lambda progress: progress.seq > after)
        except TimeoutError:
            return self._progress.value

    async def ping(self, target: str, timeout_s: float) -> PingReply:
        """Ping a peer by name or address."""
        peer = self._find_peer(target)
        result = await self._connected().ping(peer.key, timeout_s)
        return ping_reply(self.netmap, peer, result)

    async def routes(self) -> Routes:
        """Look at every route now, and tell its facts."""
        inputs = await self._looked()
        return Routes(routes=self.watch_routes.routes(inputs)) if inputs is not None else Routes()

    async def probe_routes(self, wanted: str) -> Routes:
        """Probe the routes that hold an address or are this prefix; empty: all."""
        inputs = await self._looked()
        if inputs is None:
            return Routes()
        keys = await self._probe(inputs, wanted)
        routes = self.watch_routes.routes(inputs)
        return Routes(routes=tuple(r for r in routes if key_of(r, inputs) in keys))

    def exit_options(self) -> ExitOptions:
        """Tell who offers to be exit node, the nearest first."""
        inputs = self.inputs()
        if inputs is None:
            return ExitOptions()
        return exit_options(inputs, self._underlay_status(), self.watch_routes.exit_ipv6)

    async def doctor(self, target: str) -> DoctorReport:
        """Examine this node, or the way to a target."""
        inputs = await self._looked()
        self.status()
        condition = Condition(
            inputs=inputs,
            connected=self._session is not None and self._configured,
            control_online=self._control_online,
            routes=self.watch_routes.routes(inputs) if inputs is not None else (),
            settings=await self._settings_of_host(),
            health=self._health.raised,
            clock_offset=self._clock_offset if self._control_online else None,
        )
        if target:
            return await explain(condition, target, Prober(self._ping))
        return examine(condition, await ask_dhcp(inputs))

    async def netcheck(self) -> NetcheckReport:
        """Measure the network now."""
        return netcheck_report(self.netmap, await self._connected().netcheck())

    # Inside.

    def _connected(self) -> Session:
        if self._session is None:
            raise BackendError(ExitStatus.ERROR.code, "Not connected. Run `latchkey up` first.")
        return self._session

    async def _looked(self) -> Inputs | None:
        """Return what plans are made from, after a look at the machine."""
        inputs = self.inputs() if self.state.logged_in else None
        if inputs is not None and self._session is not None:
            await self.watch_routes.look(inputs)
        return inputs

    async def _ping(self, peer: Node, timeout_s: float) -> PingResult | None:
        return None if self._session is None else await self._session.ping(peer.key, timeout_s)

    async def _settings_of_host(self) -> tuple[Setting, ...]:
        try:
            return await self.rooms.gateway.profile()
        except GatewayError as error:
            _log.warning("The settings of the host cannot be read: %s", error)
            return ()

    async def _probe(self, inputs: Inputs, wanted: str) -> tuple[RouteKey, ...]:
        self._connected()
        keys, hosts = routes_meant(wanted, self.watch_routes.routes(inputs), inputs)
        if not keys:
            what = f"no route of a peer that is {wanted!r} or holds it" if wanted else "no route"
            raise BackendError(
                ExitStatus.DOCTOR_ROUTE.code,
                f"This node uses {what}, so there is nothing to probe. See `latchkey routes`.",
            )
        await self.watch_routes.probe(inputs, keys, hosts)
        return keys

    async def _keep_session(self) -> None:
        async for wish in self._wish.changes():
            if not wish.run:
                continue
            session = Session(self, self._auth_key, asked=wish.asked)
            self._session = session
            try:
                await self._run_until_unwanted(session, wish)
            finally:
                self._session = None
                self._configured = False
                self.watch_routes.forget()
                self._control_online = False
                if not self._wish.value.run:
                    await self.clean_up()
                self._publish()

    async def _run_until_unwanted(self, session: Session, wish: _Wish) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run(), name="session")
            await self._wish.wait_for(lambda now: now != wish)
            running.cancel()

    async def _watch_networks(self) -> None:
        before = self.around.value.network
        async for around in self.around.changes():
            self._remember_routes()
            self.watch_routes.kick()
            if self._session is not None:
                self._session.network_changed(moved=around.network.has_moved_from(before))
            before = around.network

    async def _watch_health(self) -> None:
        """Let the log hear of warnings also while nobody asks for the status."""
        while True:
            self.status()
            await asyncio.sleep(HEALTH_S)

    def _remember_routes(self) -> RouteMemory:
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

    async def _stop_session(self) -> None:
        if not self._wish.value.run:
            return
        self._ask(run=False)
        while self._session is not None:
            await self._progress.wait_for(lambda _: self._session is None)
        await asyncio.sleep(0)

    def _ask(self, *, run: bool) -> None:
        self._wish.set(_Wish(run=run, number=self._wish.value.number + 1, asked=run))

    def _set_prefs(self, prefs: Prefs) -> None:
        self.change_state(prefs=prefs)
        if self._session is not None:
            self._session.wishes_changed()

    def _forget_login(self) -> None:
        self.netmap = self._kept_netmap = None
        self.store.save_netmap(None)
        self.change_state(logged_in=False, node_key=self.store.new_node_key().text())

    def _backend_state(self) -> BackendState:
        netmap = self.netmap
        return backend_state(
            Facts(
                want_running=self.state.prefs.want_running,
                logged_in=self.state.logged_in,
                key_offered=bool(self._auth_key),
                login_needed=self._login_needed,
                has_netmap=netmap is not None,
                machine_authorized=netmap is not None and netmap.self_node.machine_authorized,
                configured=self._configured,
            )
        )

    def _publish(self) -> Progress:
        before = self._progress.value
        after = Progress(
            seq=before.seq + 1,
            state=self._backend_state().value,
            auth_url=self._auth_url,
            failure=self._failure,
        )
        self._progress.set(after)
        return after

    def _underlay_status(self) -> UnderlayStatus:
        return self._session.underlay_status if self._session else UnderlayStatus()

    def _judge_health(self, inputs: Inputs | None, routes: tuple[RouteStatus, ...]) -> None:
        """Raise and withdraw warnings, as things stand now."""
        underlay = self._underlay_status()
        connected = self._session is not None
        facts = HealthFacts(
            failure=self._failure.message if self._failure else "",
            control_problem=self._control_problem if connected else "",
            relay_problem=underlay.relay_problem if connected else "",
            routes=routes if connected else (),
            exit_ipv6=self._exit_ipv6(inputs),
            paths=underlay.paths,
            settings=self.watch_routes.settings if connected else (),
            rooms=self._room_warnings() if connected else (),
        )
        wanted = self.state.prefs.want_running
        self._health.update(plan_warnings(facts, inputs if wanted else None), datetime.now(UTC))

    async def _look_up_past_the_tunnel(self, host: str) -> tuple[IPAddress, ...]:
        """Find the coordinator and the relays while other lookups are held back."""
        if not self.state.prefs.exit_node:
            return ()
        return await self.rooms.dns.look_up(host, FWMARK)

    def _room_warnings(self) -> tuple[HealthWarning, ...]:
        found = (("own", self.rooms.dns.problem), ("peers", self.rooms.peerapi.problem))
        return tuple(warn("dns-problem", whose, text=text, fix="") for whose, text in found if text)

    def _exit_ipv6(self, inputs: Inputs | None) -> str:
        """Whether the exit node in use, or this one, has IPv6; empty when there is none."""
        if inputs is None:
            return ""
        chosen = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
        if chosen is not None:
            return self.watch_routes.exit_ipv6.get(chosen.stable_id, "unknown")
        if serves_exit(inputs):
            return "yes" if inputs.around.network.has_internet(6) else "no"
        return ""

    def _observe(self) -> Any:
        if self._session is None or not self._configured:
            return None
        try:
            return self.rooms.dataplane.observe()
        except DataplaneError as error:
            _log.warning("The WireGuard device cannot be read: %s", error)
            return None

    def _find_peer(self, target: str) -> Node:
        if self.netmap is not None:
            try:
                peer = self.netmap.peer_by_ip(parse_ip(target))
            except ProtocolError:
                peer = self.netmap.peer_by_name(target)
            if peer is not None:
                return peer
        raise BackendError(
            ExitStatus.NO_SUCH_PEER.code,
            f"No node is called {target[:80]!r}. `latchkey status` lists them.",
        )
