"""Names are part of one step: address, port, filter and resolver follow from the same inputs."""

import pytest

from appliance.agent.plan.inputs import Inputs
from appliance.agent.reconfigure import close_the_door, reconfigure
from appliance.agent.rooms import Rooms
from appliance.dataplane.fake import FakeDataplane
from appliance.dns.config import STUB_V4
from appliance.dns.fake import FakeDns
from appliance.gateway.fake import FakeGateway
from appliance.peerapi.fake import PORT, FakePeerApi
from appliance.underlay.config import UnderlayMemory
from appliance.underlay.fake import FakeUnderlay
from tests.support.netmaps import DEFAULTS, inputs, node

ME, EXIT = node(1, "me"), node(1, "me", *DEFAULTS)
HOME = node(2, "home", *DEFAULTS)


class World:
    def __init__(self) -> None:
        self.dataplane, self.gateway = FakeDataplane(), FakeGateway()
        self.dns, self.peerapi = FakeDns(), FakePeerApi()
        self.rooms = Rooms(
            self.dataplane, self.gateway, lambda *_: FakeUnderlay(), self.dns, self.peerapi
        )
        self.underlay = self.rooms.open_underlay(self.dataplane, UnderlayMemory())

    async def apply(self, planned: Inputs) -> None:
        await self.dataplane.open()
        await reconfigure(self.rooms, self.underlay, planned)


async def test_behind_an_exit_node_the_filter_holds_what_the_stub_does_not_get() -> None:
    world = World()
    await world.apply(inputs(ME, HOME, exit_node="home"))
    assert world.dns.config is not None
    assert world.dns.config.stub == (STUB_V4,)
    assert world.gateway.config is not None
    assert world.gateway.config.hold_dns
    await world.apply(inputs(ME, HOME))
    assert world.dns.config.stub == ()
    assert not world.gateway.config.hold_dns


async def test_a_resolver_that_is_left_alone_is_not_held() -> None:
    world = World()
    await world.apply(inputs(ME, HOME, exit_node="home", accept_dns=False))
    assert world.gateway.config is not None
    assert not world.gateway.config.hold_dns


async def test_the_filter_opens_the_port_that_peers_are_told() -> None:
    world = World()
    await world.apply(inputs(EXIT, HOME, advertise_exit_node=True))
    assert world.gateway.config is not None
    assert world.gateway.config.exit_dns_port == PORT == world.peerapi.port.value
    await world.apply(inputs(ME, HOME))
    assert world.gateway.config.exit_dns_port == 0


@pytest.mark.parametrize("lan_access", [True, False])
async def test_the_closed_door_lets_the_lan_be_discovered_only_where_that_is_allowed(
    lan_access: bool,
) -> None:
    world = World()
    await close_the_door(
        world.rooms, "mesh0", 41641, 1, frozenset(), lan_access=lan_access, hold_dns=True
    )
    assert world.gateway.config is not None
    assert world.gateway.config.use_exit
    assert world.gateway.config.lan_access is lan_access
