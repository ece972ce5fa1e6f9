import pytest

from appliance.localapi.server import BackendError
from appliance.localapi.types import UpRequest
from tests.support.agentworld import URL, World, until


async def test_a_ping_finds_the_peer_by_name_or_says_that_there_is_none(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        assert (await agent.ping("home", 1.0)).ip == "100.64.0.2"
        with pytest.raises(BackendError) as caught:
            await agent.ping("nobody", 1.0)
        assert caught.value.code == "no-such-peer"


async def test_what_needs_a_connection_says_so(world: World) -> None:
    async with world.agent() as agent:
        with pytest.raises(BackendError, match="latchkey up"):
            await agent.netcheck()


async def test_a_node_without_netmap_has_nothing_to_tell_of_routes_and_exits(world: World) -> None:
    async with world.agent() as agent:
        assert (await agent.routes()).routes == ()
        assert (await agent.probe_routes("")).routes == ()
        assert agent.exit_options().options == ()


async def test_a_probe_needs_a_route_of_a_peer(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        with pytest.raises(BackendError, match="no route of a peer that is") as caught:
            await agent.probe_routes("10.9.0.1")
        assert caught.value.code == "doctor-route"


async def test_the_status_names_the_device_only_while_there_is_one(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        assert agent.status().dataplane == world.dataplane.kind
        await agent.down()
        assert agent.status().dataplane == ""
