"""The agent itself: holds prefs, netmap and progress, and answers the Local API.

``run`` keeps one session alive while the owner wants one (``session``); every change of prefs,
netmap or attached networks only sets a flag there, and the session makes the machine match.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from appliance.agent.machine import resolve
from appliance.agent.plan.inputs import Inputs, Surroundings
from appliance.agent.plan.routes import exit_node_of
from appliance.agent.rooms import Rooms
from appliance.agent.session import ControlOpener, Session
from appliance.agent.settings import Settings
from appliance.agent.state import BackendState, Facts, backend_state
from appliance.agent.statefile import State, StateStore
from appliance.agent.status import Sight, render_status
from appliance.aio.latest import Latest
from appliance.controlclient.config import ControlUrl
from appliance.controlclient.errors import ControlError
from appliance.dataplane.errors import DataplaneError
from appliance.exit_status import ExitStatus
from appliance.host.marks import FWMARK
from appliance.localapi.server import BackendError
from appliance.localapi.types import (
    Failure,
    NetcheckReport,
    PingReply,
    Prefs,
    Progress,
    Status,
    UpRequest,
)
from appliance.netmap.model import NetworkMap, short_name
from appliance.netmap.prefs import PrefsError, edit
from appliance.protocol.addresses import parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import Direct, UnderlayStatus

_log = logging.getLogger(__name__)


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

    async def run(self) -> None:
        """Keep the mesh as the owner wants it, until cancelled; then let go of the machine."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_session(), name="session keeper")
            tasks.create_task(self._watch_networks(), name="network watcher")

    async def clean_up(self) -> None:
        """Remove everything of ours from the machine."""
        await self.rooms.dataplane.clean_up()
        await self.rooms.gateway.clean_up()

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
        self._publish()

    def control_online(self, *, online: bool, problem: str = "") -> None:
        """Remember whether the coordinator is connected, and why not."""
        self._control_online = online
        self._control_problem = problem

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
            prefs=self.state.prefs,
            around=self.around.value,
            node_key=self.state.node,
            disco_key=self.state.disco,
            interface=self.settings.interface,
            listen_port=self.settings.port,
            fwmark=FWMARK,
            now=datetime.now(UTC),
        )

    # What front ends ask for.

    def status(self) -> Status:
        """Tell how things stand."""
        underlay = self._session.underlay_status if self._session else UnderlayStatus()
        sight = Sight(
            state=self._backend_state(),
            have_node_key=self.state.logged_in,
            auth_url=self._auth_url,
            control_online=self._control_online,
            health=self._health(underlay),
            dataplane=self.rooms.dataplane.kind if self._session else "",
            underlay=underlay,
            device=self._observe(),
        )
        return render_status(sight, self.inputs() if self.state.logged_in else None)

    def prefs(self) -> Prefs:
        """Tell the owner's wishes."""
        return self.state.prefs

    async def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        """Change wishes, all or none; the machine follows at once."""
        prefs = self._edited(changes)
        await self._refuse_route_to_coordinator(prefs)
        self._set_prefs(prefs)
        return self.state.prefs

    async def up(self, request: UpRequest) -> Progress:
        """Start connecting; a running session stays unless the login changes."""
        prefs = self._edited({**request.prefs, "want_running": True, "logged_out": False})
        await self._refuse_route_to_coordinator(prefs)
        if not prefs.control_url:
            raise BackendError(
                ExitStatus.USAGE.code,
                "Say which coordinator to log in to: latchkey up --login-server URL.",
            )
        _checked_url(prefs.control_url)
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
        reply = PingReply(
            node_name=short_name(peer),
            ip=str((peer.addresses or ())[0].network_address) if peer.addresses else "",
        )
        if self._session is None:
            raise BackendError(ExitStatus.ERROR.code, "Not connected. Run `latchkey up` first.")
        result = await self._session.ping(peer.key, timeout_s)
        if result is None:
            return reply
        if isinstance(result.path, Direct):
            return msgspec.structs.replace(
                reply, latency_s=result.latency_s, endpoint=str(result.path.address)
            )
        return msgspec.structs.replace(
            reply, latency_s=result.latency_s, relay=self._region_code(result.path.region)
        )

    async def netcheck(self) -> NetcheckReport:
        """Measure the network now."""
        if self._session is None:
            raise BackendError(ExitStatus.ERROR.code, "Not connected. Run `latchkey up` first.")
        status = await self._session.netcheck()
        info = status.net_info
        latencies = (info.derp_latency if info else None) or {}
        return NetcheckReport(
            udp=info.working_udp if info else None,
            ipv4=str(status.global_v4 or ""),
            ipv6=str(status.global_v6 or ""),
            mapping_varies=info.mapping_varies_by_dest_ip if info else None,
            nearest_relay=self._region_code(status.home_relay),
            relay_latency_s={self._latency_name(name): s for name, s in latencies.items()},
            relay_connected=status.relays.get(status.home_relay, False),
        )

    # Inside.

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
        async for _ in self.around.changes():
            if self._session is not None:
                self._session.wishes_changed()

    async def _stop_session(self) -> None:
        if not self._wish.value.run:
            return
        self._ask(run=False)
        while self._session is not None:
            await self._progress.wait_for(lambda _: self._session is None)
        await asyncio.sleep(0)

    def _ask(self, *, run: bool) -> None:
        self._wish.set(_Wish(run=run, number=self._wish.value.number + 1, asked=run))

    def _edited(self, changes: dict[str, Any]) -> Prefs:
        try:
            return edit(self.state.prefs, changes)
        except PrefsError as error:
            raise BackendError(error.status.code, str(error)) from None

    async def _refuse_route_to_coordinator(self, prefs: Prefs) -> None:
        """Refuse a named subnet that would lead other nodes' control traffic through us."""
        routes = prefs.fixed_routes()
        if not routes or not prefs.control_url:
            return
        for address in await resolve(_checked_url(prefs.control_url).host):
            for route in routes:
                if address in route:
                    raise BackendError(
                        ExitStatus.ROUTE_HOLDS_COORDINATOR.code,
                        f"{route} contains the coordinator ({address}), which every node must "
                        "reach without this one. Advertise a smaller subnet.",
                    )

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

    def _health(self, underlay: UnderlayStatus) -> tuple[str, ...]:
        problems = [self._failure.message] if self._failure else []
        if self._session is not None:
            problems += [text for text in (self._control_problem, underlay.relay_problem) if text]
        wanted = self.state.prefs.exit_node
        if wanted and self.netmap is not None and exit_node_of(self.netmap, wanted) is None:
            problems.append(
                f"The exit node {wanted!r} is not there or not approved, so traffic to the "
                "internet is held back. Choose another, or none with `latchkey set --exit-node=`."
            )
        return tuple(problems)

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

    def _region_code(self, region_id: int) -> str:
        regions = (self.netmap.derp_map.regions if self.netmap else None) or {}
        region = regions.get(region_id)
        return region.region_code if region else ""

    def _latency_name(self, name: str) -> str:
        region, _, family = name.partition("-")
        code = self._region_code(int(region)) if region.isdecimal() else ""
        return f"{code or region} ({'IPv6' if family == 'v6' else 'IPv4'})"


def _checked_url(text: str) -> ControlUrl:
    try:
        return ControlUrl.parse(text)
    except ControlError as error:
        raise BackendError(error.status.code, str(error)) from None
