import asyncio

import pytest

from appliance.agent import session
from appliance.agent.plan.inputs import Surroundings
from appliance.localapi.server import BackendError
from appliance.localapi.types import UpRequest
from tests.support.agentworld import URL, World, until
from tests.support.netmaps import LAN, node


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
        assert agent.standing.state.logged_in


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
        key = agent.standing.state.node_key
        await agent.logout()
        assert world.controls[0].logged_out
        assert agent.status().backend_state == "NeedsLogin"
        assert agent.standing.state.node_key != key
        assert world.gateway.config is None


async def test_a_changed_network_is_advertised(world: World) -> None:
    async with world.agent() as agent:
        await agent.up(UpRequest(prefs=URL))
        await until(agent, "Running")
        before = world.controls[0].refreshes
        world.around.set(Surroundings())
        await asyncio.sleep(0.02)
        assert world.controls[0].refreshes > before
