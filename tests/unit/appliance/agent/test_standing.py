import asyncio

from appliance.dataplane.config import DataplaneConfig
from appliance.dataplane.errors import PortInUseError
from appliance.dataplane.fake import FakeDataplane
from appliance.exit_status import ExitStatus
from appliance.gateway.fake import FakeGateway
from appliance.localapi.types import UpRequest
from tests.support.agentworld import URL, FakeControl, World, until


async def test_after_a_restart_the_mesh_works_without_the_coordinator(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        while agent.standing.store.load_netmap() is None:  # noqa: ASYNC110 - written after "Running"
            await asyncio.sleep(0.001)

    async def unreachable(control: FakeControl) -> None:
        control.owner.failed("nobody answers", ExitStatus.COORDINATOR_UNREACHABLE)

    world.script = unreachable
    world.dataplane, world.gateway = FakeDataplane(), FakeGateway()
    async with world.agent() as agent:
        await until(agent, "Running")
        assert world.gateway.config is not None


async def test_a_refused_first_login_leaves_the_machine_as_it_was(world: World) -> None:
    async def refuse(control: FakeControl) -> None:
        control.owner.gave_up("The key expired.", ExitStatus.KEY_EXPIRED)

    world.script = refuse
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL, auth_key="old"))
        progress = await until(agent, "NeedsLogin")
        assert progress.failure is not None
        assert progress.failure.code == "key-expired"
        await asyncio.sleep(0.05)
        assert world.gateway.config is None
        assert not world.dataplane.is_open
        assert not agent.standing.state.prefs.want_running


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
        assert agent.standing.state.logged_in
