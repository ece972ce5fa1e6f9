"""The agent itself: keeps a session as the owner wants it, and answers the Local API.

``run`` keeps one session alive while the owner wants one (``session``); every change of prefs,
netmap or attached networks only sets a flag there, and the session makes the machine match. How the
node stands is in ``standing``; ``inquiries`` answers what changes nothing.
"""

import asyncio
import logging
from typing import Any

import msgspec

from appliance.agent.failures import MACHINE_ERRORS, status_of
from appliance.agent.inquiries import Inquiries
from appliance.agent.session import Session
from appliance.agent.standing import Standing, Wish
from appliance.agent.wishes import check_routes, checked_url, edited
from appliance.aio import names
from appliance.exit_status import ExitStatus
from appliance.host.marks import FWMARK
from appliance.localapi.server import BackendError
from appliance.localapi.types import (
    DoctorReport,
    ExitOptions,
    NetcheckReport,
    PingReply,
    Prefs,
    Progress,
    Routes,
    Status,
    UpRequest,
)
from appliance.protocol.addresses import IPAddress

_log = logging.getLogger(__name__)

HEALTH_S = 5.0
"""Warnings come and go by themselves at this pace; front ends see them at once."""


class Agent:
    """The node agent; keeps the ``Backend`` contract of the Local API."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self._inquiries = Inquiries(standing)
        self._rooms = standing.rooms

    async def run(self) -> None:
        """Keep the mesh as the owner wants it, until cancelled; then let go of the machine."""
        names.SPARE.set(self._look_up_past_the_tunnel)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_session(), name="session keeper")
            tasks.create_task(self._watch_networks(), name="network watcher")
            tasks.create_task(self._watch_health(), name="health watcher")

    async def clean_up(self) -> None:
        """Remove everything of ours from the machine."""
        await self._rooms.dns.clean_up()
        await self._rooms.peerapi.clean_up()
        await self._rooms.dataplane.clean_up()
        await self._rooms.gateway.clean_up()

    async def begin(self) -> None:
        """Block what belongs into an exit node's tunnel, before anybody is told that we run.

        A machine that cannot do that says so later, when it is to be configured.
        """
        if self.holds_back:
            try:
                await self.standing.close_the_door()
            except MACHINE_ERRORS as error:
                self.standing.failed(str(error), status_of(error))

    async def end(self) -> None:
        """Let go of the machine, but not of an exit node's traffic: it waits for the next start."""
        if not self.holds_back:
            await self.clean_up()
            return
        _log.warning(
            "The exit node's traffic is held back until the agent is there again; `latchkey agent "
            "--clean-up` lets it out."
        )
        await self._rooms.dns.clean_up()
        await self._rooms.peerapi.clean_up()
        await self._rooms.dataplane.close(remove=False)

    @property
    def holds_back(self) -> bool:
        """Whether there is traffic that may leave through an exit node only."""
        prefs = self.standing.state.prefs
        return prefs.want_running and bool(prefs.exit_node)

    # What front ends ask for.

    def prefs(self) -> Prefs:
        """Tell the owner's wishes."""
        return self.standing.state.prefs

    async def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        """Change wishes, all or none; the machine follows at once."""
        standing = self.standing
        prefs = edited(standing.state.prefs, changes)
        await check_routes(prefs, standing.netmap, standing.around.value.network)
        standing.change_prefs(prefs)
        return standing.state.prefs

    async def up(self, request: UpRequest) -> Progress:
        """Start connecting; a running session stays unless the login changes."""
        standing = self.standing
        prefs = edited(
            standing.state.prefs, {**request.prefs, "want_running": True, "logged_out": False}
        )
        await check_routes(prefs, standing.netmap, standing.around.value.network)
        if not prefs.control_url:
            raise BackendError(
                ExitStatus.USAGE.code,
                "Say which coordinator to log in to: latchkey up --login-server URL.",
            )
        checked_url(prefs.control_url)
        moved = prefs.control_url != standing.state.prefs.control_url and standing.state.logged_in
        if request.force_reauth or moved:
            standing.forget_login()
        standing.begin_login(request.auth_key)
        login = not standing.state.logged_in
        standing.change_prefs(prefs)
        if login or not standing.wish.value.run:
            standing.ask(run=True)
        return standing.publish()

    async def down(self) -> Progress:
        """Disconnect; returns when every change to the machine is undone."""
        standing = self.standing
        standing.change_prefs(msgspec.structs.replace(standing.state.prefs, want_running=False))
        await self._stop_session()
        await self.clean_up()  # also what a killed agent left before this one started
        return standing.publish()

    async def logout(self) -> Progress:
        """Give the node key up and disconnect."""
        standing = self.standing
        if standing.session is not None:
            await standing.session.log_out()
        standing.forget_login()
        prefs = msgspec.structs.replace(standing.state.prefs, want_running=False, logged_out=True)
        standing.change_prefs(prefs)
        await self._stop_session()
        standing.login_needed = True
        return standing.publish()

    async def watch(self, after: int, timeout_s: float) -> Progress:
        """Wait for progress beyond ``after``, or return the present one in time."""
        progress = self.standing.progress
        try:
            async with asyncio.timeout(timeout_s):
                return await progress.wait_for(lambda now: now.seq > after)
        except TimeoutError:
            return progress.value

    # What they ask about.

    def status(self) -> Status:
        """Tell how things stand."""
        return self._inquiries.status()

    async def ping(self, target: str, timeout_s: float) -> PingReply:
        """Ping a peer by name or address."""
        return await self._inquiries.ping(target, timeout_s)

    async def netcheck(self) -> NetcheckReport:
        """Measure the network now."""
        return await self._inquiries.netcheck()

    async def routes(self) -> Routes:
        """Look at every route now, and tell its facts."""
        return await self._inquiries.routes()

    async def probe_routes(self, wanted: str) -> Routes:
        """Probe the routes that hold an address or are this prefix; empty: all."""
        return await self._inquiries.probe_routes(wanted)

    def exit_options(self) -> ExitOptions:
        """Tell who offers to be exit node, the nearest first."""
        return self._inquiries.exit_options()

    async def doctor(self, target: str) -> DoctorReport:
        """Examine this node, or the way to a target."""
        return await self._inquiries.doctor(target)

    # Inside.

    async def _keep_session(self) -> None:
        standing = self.standing
        async for wish in standing.wish.changes():
            if not wish.run:
                continue
            session = Session(standing, standing.auth_key, asked=wish.asked)
            standing.session = session
            try:
                await self._run_until_unwanted(session, wish)
            finally:
                standing.ended()
                if not standing.wish.value.run:
                    await self.clean_up()
                standing.publish()

    async def _run_until_unwanted(self, session: Session, wish: Wish) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(session.run(), name="session")
            await self.standing.wish.wait_for(lambda now: now != wish)
            running.cancel()

    async def _stop_session(self) -> None:
        standing = self.standing
        if not standing.wish.value.run:
            return
        standing.ask(run=False)
        while standing.session is not None:
            await standing.progress.wait_for(lambda _: standing.session is None)
        await asyncio.sleep(0)

    async def _watch_networks(self) -> None:
        standing = self.standing
        before = standing.around.value.network
        async for around in standing.around.changes():
            standing.remember_routes()
            standing.watch_routes.kick()
            if standing.session is not None:
                standing.session.network_changed(moved=around.network.has_moved_from(before))
            before = around.network

    async def _watch_health(self) -> None:
        """Let the log hear of warnings also while nobody asks for the status."""
        while True:
            self.status()
            await asyncio.sleep(HEALTH_S)

    async def _look_up_past_the_tunnel(self, host: str) -> tuple[IPAddress, ...]:
        """Find the coordinator and the relays while other lookups are held back."""
        if not self.standing.state.prefs.exit_node:
            return ()
        return await self._rooms.dns.look_up(host, FWMARK)
