"""What the setup page asks of the agent: networks, traffic, and to be the coordinator.

home-lan 192.168.1.0/24, fd4c:7a11::/64
  router ──┬── appliance (agent; the coordinator once it is asked for)
  internet ├── printer
           └── phone (an agent that joins)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import CreatePreAuthKey, CreateUser
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import BeCoordinator, UpRequest
from tests.netns.lab import wait_until
from tests.support.gatewaylab import SOON_S, gateway_lab, pings, wait_for_page
from tests.support.homebox import LAN, Home, HomeBox, build_home
from tests.support.mesh import AgentNode, Join

pytestmark = pytest.mark.netns


@dataclass
class World:
    home: Home
    box: HomeBox

    @property
    def agent(self) -> LocalClient:
        return LocalClient(self.box.path("/run/latchkey/latchkey.sock"))

    @property
    def admin(self) -> AdminClient:
        return AdminClient(self.box.path("/run/latchkey-coordinator/admin.sock"))

    def url(self, port: int = 8080) -> str:
        return f"http://{self.home.appliance.ip}:{port}"

    def wait_for_coordinator(self, url: str) -> None:
        def answers() -> bool:
            try:
                return self.admin.status().server_url == url
            except AdminApiError:
                return False

        wait_until(answers, SOON_S, f"a coordinator serves {url}")

    def new_key(self) -> str:
        return self.admin.create_preauth_key(CreatePreAuthKey(user="home")).key


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        home = build_home(lab)
        box = HomeBox(home.appliance)
        box.start_agent()
        box.start_coordinator()
        yield World(home, box)


def test_the_networks_at_home_are_found(world: World) -> None:
    found = {network.prefix: network for network in world.agent.networks().networks}
    lan = found[LAN]
    assert (lan.interface, lan.kind, lan.is_uplink) == ("eth0", "ethernet", True)
    assert lan.addresses == (world.home.appliance.ip,)
    assert lan.gateway == "192.168.1.1"
    assert lan.advertisable
    assert found["fd4c:7a11::/64"].advertisable


def test_before_it_is_asked_there_is_no_coordinator(world: World) -> None:
    role = world.agent.coordinator()
    assert (role.configured, role.available) == (False, True)
    with pytest.raises(LocalApiError, match="belongs to the setup page"):
        world.agent.be_coordinator(BeCoordinator(server_url=world.url(80)))
    with pytest.raises(AdminApiError):
        world.admin.status()


def test_it_becomes_the_coordinator_and_may_change_its_mind(world: World) -> None:
    world.agent.be_coordinator(BeCoordinator(server_url=world.url(8081)))
    world.wait_for_coordinator(world.url(8081))
    world.agent.be_coordinator(BeCoordinator(server_url=world.url()))
    world.wait_for_coordinator(world.url())


def test_the_box_joins_its_own_mesh_with_its_own_lan(world: World) -> None:
    world.admin.create_user(CreateUser(name="home"))
    prefs = {"control_url": world.url(), "advertise_routes": [LAN], "hostname": "appliance"}
    world.agent.up(UpRequest(prefs=prefs, auth_key=world.new_key()))
    wait_until(lambda: world.agent.status().backend_state == "Running", SOON_S, "the box joins")
    # The coordinator and its relay are in that LAN, at a private address.
    world.admin.approve_routes("appliance", (LAN,))

    def serves() -> bool:
        return [route.serving.ok for route in world.agent.status().routes] == [True]

    wait_until(serves, SOON_S, "the LAN is served")


def test_a_phone_joins_and_the_traffic_grows(world: World) -> None:
    key = world.home.phone.directory / "key"
    key.touch(mode=0o600)
    key.write_text(world.new_key(), encoding="ascii")
    phone = AgentNode(world.home.phone, Join(world.url(), key, key))  # plain HTTP: no authority
    phone.up()
    address = world.agent.status().tailscale_ips[0]
    wait_until(lambda: pings(world.home.phone, address), SOON_S, "the phone reaches the box")

    def grown() -> bool:
        traffic = world.agent.traffic()
        return sum(traffic.rx_bytes) > 0 and sum(traffic.tx_bytes) > 0

    wait_until(grown, SOON_S + world.agent.traffic().step_s, "the traffic is counted")


def test_once_somebody_joined_it_stays_the_coordinator(world: World) -> None:
    with pytest.raises(LocalApiError, match="Other nodes have joined") as caught:
        world.agent.stop_coordinator()
    assert caught.value.code == "conflict"
    assert world.agent.coordinator().configured


def test_alone_again_it_may_stop(world: World) -> None:
    wait_for_page(world.home.appliance, world.home.printer.ip)
    world.admin.delete_node("phone")
    running = world.box.coordinator
    assert running is not None
    wait_until(lambda: not world.agent.status().peers, SOON_S, "the box is alone")
    assert not world.agent.stop_coordinator().configured
    assert running.wait(SOON_S) == 0
