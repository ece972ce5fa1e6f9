"""The agent with fakes for everything that touches the machine or the network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.agent import session
from appliance.agent.backend import Agent
from appliance.agent.plan.inputs import Surroundings
from appliance.agent.rooms import Rooms
from appliance.agent.session import Session
from appliance.agent.settings import Settings
from appliance.agent.statefile import StateStore
from appliance.aio.latest import Latest
from appliance.dataplane.config import DataplaneConfig
from appliance.dataplane.errors import PortInUseError
from appliance.dataplane.fake import FakeDataplane
from appliance.dns.fake import FakeDns
from appliance.exit_status import ExitStatus
from appliance.gateway.fake import FakeGateway
from appliance.localapi.server import BackendError
from appliance.localapi.types import Progress, UpRequest
from appliance.netmap.model import NetworkMap
from appliance.peerapi.fake import FakePeerApi
from appliance.underlay.config import UnderlayMemory
from appliance.underlay.fake import FakeUnderlay
from tests.support.netmaps import LAN, node

URL = {"control_url": "https://mesh.example.org"}


class FakeControl:
    """Does what a test tells it, in the place of the control client."""

    def __init__(self, session: Session, agent: Agent, auth_key: str, world: "World") -> None:
        self.session, self.agent, self.auth_key, self.world = session, agent, auth_key, world
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
        self.agent.logged_in()
        self.agent.took_netmap(netmap)
        self.session.netmap_changed()


class World:
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
        agent = Agent(
            Settings(state_dir=self.directory),
            StateStore(self.directory),
            Rooms(self.dataplane, self.gateway, self._open_underlay, FakeDns(), FakePeerApi()),
            self.around,
            self._open_control,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(agent.run(), name="agent")
            yield agent
            running.cancel()

    def _open_underlay(self, _dataplane: object, memory: UnderlayMemory) -> FakeUnderlay:
        self.memories.append(memory)
        self.underlays.append(FakeUnderlay())
        return self.underlays[-1]

    def _open_control(self, session: Session, agent: Agent, auth_key: str) -> FakeControl:
        self.controls.append(FakeControl(session, agent, auth_key, self))
        return self.controls[-1]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def until(agent: Agent, state: str) -> Progress:
    progress = await agent.watch(0, 1.0)
    while progress.state != state:
        before = progress.seq
        progress = await agent.watch(before, 5.0)
        assert progress.seq > before, f"stayed in {progress.state}: {progress.failure}"
    return progress


async def test_a_fresh_agent_does_nothing_to_the_machine(world: World) -> None:
    async with world.agent() as agent:
        assert agent.status().backend_state == "NeedsLogin"
        assert not world.dataplane.is_open
        assert world.gateway.config is None


async def test_up_brings_the_machine_in_line_with_the_netmap(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs={**URL, "advertise_routes": ["auto"]}, auth_key="k"))
        await until(agent, "Running")
        assert world.controls[0].auth_key == "k"
        assert world.dataplane.config is not None
        assert list(world.dataplane.config.peers) == [node(2, "home").key]
        assert world.gateway.config is not None
        assert world.gateway.config.advertised == {LAN}
        status = agent.status()
        assert status.tailscale_ips == ("100.64.0.1",)
        assert [route.approved.ok for route in status.routes] == [True]


async def test_the_door_is_closed_before_the_device_exists(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        assert world.gateway.applied[0].filter is None
        assert world.gateway.applied[0].routes == frozenset()


async def test_up_without_a_coordinator_says_which_flag_is_missing(world: World) -> None:
    async with world.agent() as agent:
        with pytest.raises(BackendError, match="--login-server"):
            await agent.up(UpRequest())


async def test_down_leaves_nothing_and_keeps_the_login(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        await agent.down()
        assert world.gateway.config is None
        assert not world.dataplane.is_open
        assert agent.status().backend_state == "Stopped"
        assert agent.state.logged_in


async def test_after_a_restart_the_mesh_works_without_the_coordinator(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        while agent.store.load_netmap() is None:  # noqa: ASYNC110 - written after "Running"
            await asyncio.sleep(0.001)

    async def unreachable(control: FakeControl) -> None:
        control.agent.failed("nobody answers", ExitStatus.COORDINATOR_UNREACHABLE)

    world.script = unreachable
    world.dataplane, world.gateway = FakeDataplane(), FakeGateway()
    async with world.agent() as agent:
        await until(agent, "Running")
        assert world.gateway.config is not None


async def test_a_refused_first_login_leaves_the_machine_as_it_was(world: World) -> None:
    async def refuse(control: FakeControl) -> None:
        control.agent.gave_up("The key expired.", ExitStatus.KEY_EXPIRED)

    world.script = refuse
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL, auth_key="old"))
        progress = await until(agent, "NeedsLogin")
        assert progress.failure is not None
        assert progress.failure.code == "key-expired"
        await asyncio.sleep(0.05)
        assert world.gateway.config is None
        assert not world.dataplane.is_open
        assert not agent.state.prefs.want_running


async def test_a_machine_that_refuses_is_said_with_its_own_code(world: World) -> None:
    class Busy(FakeDataplane):
        async def open(self) -> bool:
            raise PortInUseError("UDP port 41641 is in use.")

    world.dataplane = Busy()

    async def slow(_control: FakeControl) -> None:
        return

    world.script = slow
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL, auth_key="k"))
        progress = await until(agent, "NeedsLogin")
        assert progress.failure is not None
        assert progress.failure.code == "port-in-use"


async def test_a_login_stays_when_the_machine_refuses_after_it(world: World) -> None:
    class Busy(FakeDataplane):
        async def apply(self, config: DataplaneConfig) -> None:
            raise PortInUseError("UDP port 41641 is in use.")

    world.dataplane = Busy()
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL, auth_key="k"))
        progress = await until(agent, "Stopped")
        assert progress.failure is not None
        await asyncio.sleep(0.05)
        assert world.gateway.config is None
        assert agent.state.logged_in


async def test_a_device_that_disappears_is_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RETRY_S", 0.0)
    monkeypatch.setattr(session, "REPAIR_S", 0.01)
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        ports = world.underlays[0].memory.value
        world.dataplane.is_open = False  # as if wireguard-go had died
        await agent.edit_prefs({"accept_routes": True})
        await until(agent, "Starting")
        await until(agent, "Running")
        assert world.dataplane.is_open
        assert len(world.underlays) == 2, "one that has run cannot run again"
        assert world.memories[1] == ports


async def test_a_route_to_the_coordinator_is_refused(world: World) -> None:
    async with world.agent() as agent:
        with pytest.raises(BackendError) as caught:
            await agent.up(
                UpRequest(
                    prefs={
                        "control_url": "https://192.168.1.5",
                        "advertise_routes": ["192.168.1.0/24"],
                    }
                )
            )
        assert caught.value.code == "route-holds-coordinator"


async def test_new_prefs_reach_the_machine_and_the_coordinator(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        before = world.controls[0].refreshes
        await agent.edit_prefs({"shields_up": True})
        await asyncio.sleep(0.02)
        assert world.controls[0].refreshes > before
        assert world.gateway.config is not None
        assert world.gateway.config.filter == ()


async def test_bad_prefs_change_nothing(world: World) -> None:
    async with world.agent() as agent:
        with pytest.raises(BackendError) as caught:
            await agent.edit_prefs({"advertise_routes": ["0.0.0.0/0"]})
        assert caught.value.code == "route-is-default"
        assert agent.prefs().advertise_routes == ()


async def test_logout_tells_the_coordinator_and_forgets(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        key = agent.state.node_key
        await agent.logout()
        assert world.controls[0].logged_out
        assert agent.status().backend_state == "NeedsLogin"
        assert agent.state.node_key != key
        assert world.gateway.config is None


async def test_a_ping_finds_the_peer_by_name_or_says_that_there_is_none(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        assert (await agent.ping("home", 1.0)).ip == "100.64.0.2"
        with pytest.raises(BackendError) as caught:
            await agent.ping("nobody", 1.0)
        assert caught.value.code == "no-such-peer"


async def test_a_changed_network_is_advertised(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        before = world.controls[0].refreshes
        world.around.set(Surroundings())
        await asyncio.sleep(0.02)
        assert world.controls[0].refreshes > before
