"""The agent with fakes for everything that touches the machine or the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.agent.backend import Agent
from appliance.agent.plan.inputs import Surroundings
from appliance.agent.rooms import Rooms
from appliance.agent.session import Session, SessionOwner
from appliance.agent.settings import Settings
from appliance.agent.standing import Standing
from appliance.agent.statefile import StateStore
from appliance.aio.latest import Latest
from appliance.dataplane.fake import FakeDataplane
from appliance.dns.fake import FakeDns
from appliance.gateway.fake import FakeGateway
from appliance.localapi.types import Progress
from appliance.netmap.model import NetworkMap
from appliance.peerapi.fake import FakePeerApi
from appliance.underlay.config import UnderlayMemory
from appliance.underlay.fake import FakeUnderlay
from tests.support.netmaps import LAN, node

URL = {"control_url": "https://mesh.example.org"}


class FakeControl:
    """Does what a test tells it, in the place of the control client."""

    def __init__(
        self, session: Session, owner: SessionOwner, auth_key: str, world: "World"
    ) -> None:
        self.session, self.owner, self.auth_key, self.world = session, owner, auth_key, world
        self.refreshes = 0
        self.logged_out = False
        self.moves: list[bool] = []

    async def run(self) -> None:
        await self.world.script(self)
        await asyncio.Event().wait()

    def refresh(self) -> None:
        self.refreshes += 1

    def network_changed(self, *, moved: bool) -> None:
        self.moves.append(moved)

    async def log_out(self) -> None:
        self.logged_out = True

    def admit(self, netmap: NetworkMap) -> None:
        self.owner.logged_in()
        self.owner.took_netmap(netmap)
        self.session.netmap_changed()


class World:
    """One agent's rooms, networks and coordinator; they outlive an agent that is started anew."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dataplane, self.gateway = FakeDataplane(), FakeGateway()
        self.underlays: list[FakeUnderlay] = []
        self.memories: list[UnderlayMemory] = []
        self.controls: list[FakeControl] = []
        self.around = Latest(Surroundings(lan=frozenset({LAN}), uplink=frozenset({LAN})))
        self.netmap = NetworkMap(node(1, "me", LAN), {2: node(2, "home")})
        self.script: Any = self.admit

    async def admit(self, control: FakeControl) -> None:
        control.admit(self.netmap)

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        """Run an agent inside the block."""
        standing = Standing(
            Settings(state_dir=self.directory),
            StateStore(self.directory),
            Rooms(self.dataplane, self.gateway, self._open_underlay, FakeDns(), FakePeerApi()),
            self.around,
            self._open_control,
        )
        agent = Agent(standing)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(agent.run(), name="agent")
            yield agent
            running.cancel()

    def _open_underlay(self, _dataplane: object, memory: UnderlayMemory) -> FakeUnderlay:
        self.memories.append(memory)
        self.underlays.append(FakeUnderlay())
        return self.underlays[-1]

    def _open_control(self, session: Session, owner: SessionOwner, auth_key: str) -> FakeControl:
        self.controls.append(FakeControl(session, owner, auth_key, self))
        return self.controls[-1]


async def until(agent: Agent, state: str) -> Progress:
    """Wait until the agent is in a state."""
    progress = await agent.watch(0, 1.0)
    while progress.state != state:
        before = progress.seq
        progress = await agent.watch(before, 5.0)
        assert progress.seq > before, f"stayed in {progress.state}: {progress.failure}"
    return progress
