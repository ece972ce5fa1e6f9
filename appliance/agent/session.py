"""One connected stretch of the agent's life: from ``up`` to ``down``, or to a failed login.

The control client streams netmaps, the configurer makes the machine match, the underlay keeps the
paths, the reporter tells the coordinator what changed. The device is opened while the login is
still on its way, because both take time.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, Protocol

from appliance.agent.failures import MACHINE_ERRORS, status_of
from appliance.agent.greeting import greet
from appliance.agent.plan.inputs import Inputs, Surroundings
from appliance.agent.reconfigure import reconfigure
from appliance.agent.rooms import Rooms, Underlay
from appliance.agent.settings import Settings
from appliance.agent.statefile import State
from appliance.agent.watch import Watch
from appliance.aio.latest import Latest
from appliance.exit_status import ExitStatus
from appliance.netmap.model import NetworkMap
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import NodePublic
from appliance.underlay.config import PingResult, UnderlayMemory, UnderlayStatus

_log = logging.getLogger(__name__)

RETRY_S: Final = 10.0
"""A machine that refuses our configuration is asked at most so often."""
REPAIR_S: Final = 0.5
"""One that had it for longer and lost it (somebody removed the device) is asked so soon."""
REPLAN_S: Final = 60.0
"""Plans depend on the time (keys expire), so they are made at least this often."""
GREETING_S: Final = 3.0
"""How long a new device's packets wait for the home relay."""


class ControlLink(Protocol):
    """The control client as a session uses it."""

    async def run(self) -> None:
        """Register and stream netmaps until cancelled, or until the login failed for good."""

    def refresh(self) -> None:
        """Tell the coordinator what changed about this node."""

    def network_changed(self, *, moved: bool) -> None:
        """Take note that the machine's networks changed; ``moved``: an address is gone."""

    async def log_out(self) -> None:
        """Give the node key up."""


class SessionOwner(Protocol):
    """What a session needs from the agent that it belongs to."""

    settings: Settings
    rooms: Rooms
    state: State
    netmap: NetworkMap | None
    around: Latest[Surroundings]
    open_control: "ControlOpener"
    watch_routes: Watch

    async def close_the_door(self) -> None:
        """Let nothing in, and behind an exit node nothing out, until the machine is configured."""

    def inputs(self) -> Inputs | None:
        """Return what plans are made from."""

    def offered_routes(self) -> tuple[IPNetwork, ...]:
        """Return the subnets to advertise now."""

    def change_state(self, **fields: Any) -> None:
        """Change fields of the state, on disk too."""

    def took_netmap(self, netmap: NetworkMap) -> None:
        """Take note of a new netmap."""

    def keep_netmap(self) -> None:
        """Write the netmap to disk if it changed; blocks for the disk."""

    def logged_in(self) -> None:
        """Take note that the coordinator admitted the node key."""

    def needs_login(self, auth_url: str = "") -> None:
        """Take note that a person must log in."""

    def control_online(self, *, online: bool, problem: str = "") -> None:
        """Take note whether the coordinator is connected, and why not."""

    def clock_differs(self, offset: timedelta) -> None:
        """Take note how far the coordinator's clock is ahead, when that is more than a day."""

    def configured(self, *, done: bool) -> None:
        """Take note whether the machine matches."""

    def failed(self, message: str, status: ExitStatus) -> None:
        """Take note of a failure."""

    def gave_up(self, message: str, status: ExitStatus) -> None:
        """Take note that an ``up`` failed, and end."""


ControlOpener = Callable[["Session", SessionOwner, str], ControlLink]
"""Makes the control client of a session: session, agent, pre-auth key."""


class Session:
    """The tasks of one connected stretch; ``run`` ends by being cancelled."""

    def __init__(self, owner: SessionOwner, auth_key: str, *, asked: bool) -> None:
        self._owner = owner
        self._asked = asked
        self._dirty = asyncio.Event()
        self._underlay_ran = False
        self._device_is_new = False
        self._old_friends = (
            {peer.key for peer in owner.netmap.peers.values()} if owner.netmap else set()
        )
        """Those who may have a session with a device that is no more."""
        self._underlay = self._open_underlay(
            UnderlayMemory(owner.state.ports(), owner.state.disco_keys())
        )
        self._control = owner.open_control(self, owner, auth_key)

    @property
    def underlay_status(self) -> UnderlayStatus:
        """What the underlay knows now."""
        return self._underlay.status.value

    async def run(self) -> None:
        """Keep the node connected; a first login that fails stays there until ``up`` again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._control.run(), name="control client")
            tasks.create_task(self._keep_configured(), name="configurer")

    def netmap_changed(self) -> None:
        """Make the machine match the new netmap soon."""
        self._dirty.set()

    def wishes_changed(self) -> None:
        """Make the machine match new prefs or networks, and tell the coordinator."""
        self._dirty.set()
        self._control.refresh()

    def network_changed(self, *, moved: bool) -> None:
        """Make the machine match new networks, and find the coordinator by them."""
        self.wishes_changed()
        self._control.network_changed(moved=moved)

    async def ping(self, peer: NodePublic, timeout_s: float) -> PingResult | None:
        """Ping a peer on the discovery level."""
        return await self._underlay.ping(peer, timeout_s)

    async def netcheck(self) -> UnderlayStatus:
        """Measure the network now."""
        return await self._underlay.netcheck()

    async def log_out(self) -> None:
        """Give the node key up; failing to reach the coordinator is not an obstacle."""
        await self._control.log_out()

    async def _keep_configured(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                await self._open_device()
                await self._follow_plans()
            except* MACHINE_ERRORS as group:
                self._machine_refused(_first_of(group))
            await asyncio.sleep(max(REPAIR_S, began + RETRY_S - now()))
            await self._start_anew()

    async def _start_anew(self) -> None:
        """Let go of what may be half gone: the device that is there is adopted again."""
        await self._owner.rooms.dataplane.close(remove=False)
        if self._underlay_ran:
            self._underlay = self._open_underlay(self._underlay.memory.value)
            self._underlay_ran = False

    def _open_underlay(self, memory: UnderlayMemory) -> Underlay:
        return self._owner.rooms.open_underlay(self._owner.rooms.dataplane, memory)

    def _machine_refused(self, error: Exception) -> None:
        self._owner.configured(done=False)
        if self._asked:
            self._owner.gave_up(str(error), status_of(error))
        else:
            self._owner.failed(str(error), status_of(error))

    async def _open_device(self) -> None:
        await self._owner.close_the_door()
        self._device_is_new = not await self._owner.rooms.dataplane.open()

    async def _follow_plans(self) -> None:
        """Configure after every change; the rest runs once the device holds its port."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                inputs = self._owner.inputs()
                self._dirty.clear()
                if inputs is not None and inputs.netmap.self_node.machine_authorized:
                    await reconfigure(self._owner.rooms, self._underlay, inputs)
                    if not self._underlay_ran:
                        self._underlay_ran = True
                        tasks.create_task(self._underlay.run(), name="underlay")
                        tasks.create_task(self._report(), name="reporter")
                        tasks.create_task(self._remember(), name="underlay memory")
                        tasks.create_task(self._owner.rooms.gateway.guard(), name="gateway guard")
                        watch = self._owner.watch_routes
                        tasks.create_task(watch.run(self._owner.inputs), name="route watch")
                        tasks.create_task(self._owner.rooms.dns.run(), name="dns")
                        tasks.create_task(self._owner.rooms.peerapi.run(), name="peer api")
                        tasks.create_task(self._announce(), name="announcer of services")
                        if self._device_is_new and self._old_friends:
                            tasks.create_task(self._greet(inputs.netmap), name="greeter")
                    self._asked = False
                    self._owner.configured(done=True)
                    await asyncio.to_thread(self._owner.keep_netmap)
                try:
                    async with asyncio.timeout(REPLAN_S):
                        await self._dirty.wait()
                except TimeoutError:
                    continue

    async def _report(self) -> None:
        """Tell the coordinator when our endpoints or network findings changed."""
        async for _ in self._underlay.status.changes():
            self._control.refresh()

    async def _announce(self) -> None:
        """Tell the coordinator where peers reach us."""
        async for _ in self._owner.rooms.peerapi.port.changes():
            self._control.refresh()

    async def _greet(self, netmap: NetworkMap) -> None:
        """Tell old friends that are online of our new device, once there is a way to them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GREETING_S):
                await self._underlay.status.wait_for(lambda now: any(now.relays.values()))
        greet(
            network.network_address
            for peer in netmap.peers.values()
            if peer.online is not False and peer.key in self._old_friends
            for network in (peer.addresses or ())[:1]
        )

    async def _remember(self) -> None:
        async for memory in self._underlay.memory.changes():
            self._owner.change_state(
                proxy_ports={key.text(): port for key, port in memory.proxy_ports.items()},
                peer_disco_keys={
                    key.text(): disco.text() for key, disco in memory.disco_keys.items()
                },
            )


def _first_of(group: ExceptionGroup[Exception]) -> Exception:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first
