"""`latchkey down --clean` leaves the machine as it was before `up`, whatever the node's role was.

 laptop (uses the exit, takes routes) ── hostel ──┬── internet ──┬── home ── appliance (exit node)
 phone  (plain node)                  ─┘         vps             └── cabin ── stove (subnet router)

Also after a kill -9 of the agent, when nobody is there to be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from appliance.agent.wiring import SETTINGS_RECORD
from tests.netns.lab import Host, wait_until
from tests.netns.topologies import Journey, journey
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    gateway_lab,
    leads_into_tunnel,
    pings,
    start_mesh,
)
from tests.support.machine import differences, look_at
from tests.support.mesh import AgentNode
from tests.support.snapshot import difference, snapshot

pytestmark = pytest.mark.netns

CABIN = "192.168.7.0/24"


@dataclass(frozen=True, slots=True)
class Look:
    """A machine at one moment, seen by both of our looking glasses."""

    everything: dict[str, str]
    snapshot: str

    def until(self, after: Look) -> list[str]:
        """What came or went until then."""
        found = differences(self.everything, after.everything)
        return found + difference(self.snapshot, after.snapshot).splitlines()


def look(host: Host) -> Look:
    return Look(look_at(host), snapshot(lambda command: host.try_run(command.split()).stdout))


@dataclass
class World:
    """Four machines, and how they were before."""

    places: Journey
    mesh: Mesh
    before: dict[str, Look]

    def host(self, name: str) -> Host:
        """The machine with this name."""
        return self.places.lab[name]

    def is_at_work(self, name: str) -> bool:
        """Whether it has done to its machine what its role needs."""
        host = self.host(name)
        if name == "laptop":
            return all(
                leads_into_tunnel(host, address)
                for address in (self.places.web.ip, self.places.web.ip6, "192.168.7.20")
            )
        if name in ("appliance", "stove"):
            return host.run(["sysctl", "-n", "net.ipv4.ip_forward"]).strip() == "1"
        return pings(host, self.mesh.addresses("appliance")[0])


ROLES: Final = {
    "phone": (),
    "stove": (f"--advertise-routes={CABIN}",),
    "appliance": ("--advertise-exit-node",),
    "laptop": ("--accept-routes", "--exit-node=appliance"),
}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        places = journey(lab)
        before = {name: look(lab[name]) for name in ROLES}
        mesh = start_mesh(places.vps)
        for name in ("stove", "appliance"):
            mesh.join(lab[name], *ROLES[name])
        mesh.coordinator.approve("stove", CABIN)
        mesh.coordinator.approve("appliance", "exit")
        for name in ("phone", "laptop"):
            mesh.join(lab[name], *ROLES[name])
        yield World(places, mesh, before)


def ask_the_agent(node: AgentNode) -> None:
    node.command("down", "--clean")


def kill_the_agent_first(node: AgentNode) -> None:
    assert node.daemon is not None
    node.daemon.kill()
    node.command("down", "--clean", f"--state-dir={node.directory}")


@pytest.mark.parametrize("end", [ask_the_agent, kill_the_agent_first])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("phone", id="a plain node"),
        pytest.param("stove", id="a subnet router"),
        pytest.param("appliance", id="an exit node"),
        pytest.param("laptop", id="a user of an exit node"),
    ],
)
def test_the_machine_is_as_it_was(
    world: World, name: str, end: Callable[[AgentNode], None]
) -> None:
    node, host = world.mesh[name], world.host(name)
    node.up(*ROLES[name])
    wait_until(lambda: world.is_at_work(name), SOON_S, f"{name} is at work")
    assert world.before[name].until(look(host)), "something was changed"
    end(node)
    assert world.before[name].until(look(host)) == []
    assert not (node.directory / SETTINGS_RECORD).exists()
