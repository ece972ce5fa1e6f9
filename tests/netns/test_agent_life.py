"""The mesh survives what happens to the machines it runs on: crashes, restarts, goodbyes.

left ── left router ──┬── internet ──┬── right router ── right (advertises 10.2.0.0/24, an exit)
10.1.0.2             vps (coordinator + relay)          10.2.0.2

One mesh serves all tests; before each, whatever the one before it broke is mended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.adminapi.client import AdminClient
from appliance.agent.wiring import SETTINGS_RECORD
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import PeerStatus
from tests.netns.lab import Host, wait_until
from tests.netns.lab.namespaces import tool
from tests.netns.topologies import TwoHomes, two_homes
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.machine import differences, look_at
from tests.support.mesh import AgentNode
from tests.support.pulse import PACE_S, Pulse
from tests.support.wireguard import why_no_wireguard

pytestmark = pytest.mark.netns

TUNNEL = "latchkey0"
RIGHT_LAN = "10.2.0.0/24"
PRINTER = "10.2.0.77"  # any address of the right LAN
EXIT = ("0.0.0.0/0", "::/0")
SOON_S = 15.0  # for what takes a second or two, on a busy machine too
RESTART_S = 1.0  # what a service manager waits before it starts an agent again
GREETED_S = 8.0  # a handshake that met nobody is tried again after 5 s
FEW = 3  # beats of 20 ms: a slow moment of this machine


@dataclass
class Mesh:
    """Two agents that talk directly, and how their machines looked before."""

    world: TwoHomes
    coordinator: Coordinator
    left: AgentNode
    right: AgentNode
    before: dict[str, dict[str, str]]

    @property
    def admin(self) -> AdminClient:
        return AdminClient(self.coordinator.admin_socket)

    def mend(self) -> None:
        """Everything runs, nothing is blocked, and the path is direct."""
        if self.coordinator.program is None or self.coordinator.program.exit_status is not None:
            self.coordinator.start()
        self.world.left_router.unblock()
        for node in (self.left, self.right):
            node.start()
            if state_of(node) != "Running":
                node.up()
            wait_until(lambda node=node: control_online(node), SOON_S, "the coordinator is back")
        self.left.set("--no-accept-routes", "--exit-node=")
        wait_until(self.is_direct, SOON_S, "the path is direct")
        # WireGuard tries again 5 s after a handshake that met nobody.
        with Pulse(self.world.left, self.right.ip) as pulse:
            pulse.wait_for_answers(1, SOON_S)

    def is_direct(self) -> bool:
        """Whether the left agent sends directly; makes it want to."""
        LocalClient(self.left.socket).ping("right", 0.5)
        return bool(peer_of(self.left, "right").cur_addr)


@pytest.fixture(scope="module")
def made() -> Iterator[Mesh]:
    reason = why_no_lab() or why_no_wireguard()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        world = two_homes(lab)
        before = {host.name: look_at(host) for host in (world.left, world.right)}
        coordinator = Coordinator(world.vps)
        coordinator.start()
        coordinator.new_user("family")
        key = coordinator.new_key("family", "--reusable")
        left, right = AgentNode(world.left, key), AgentNode(world.right, key)
        left.up()
        right.up(f"--advertise-routes={RIGHT_LAN}", "--advertise-exit-node")
        left.wait_for_peer("right")
        yield Mesh(world, coordinator, left, right, before)


@pytest.fixture
def mesh(made: Mesh) -> Mesh:
    made.mend()
    return made


def state_of(node: AgentNode) -> str:
    return LocalClient(node.socket).status().backend_state


def control_online(node: AgentNode) -> bool:
    return LocalClient(node.socket).status().control_online


def peer_of(node: AgentNode, name: str) -> PeerStatus:
    peers = LocalClient(node.socket).status().peers.values()
    return next((p for p in peers if p.dns_name.partition(".")[0] == name), PeerStatus())


def kill(node: AgentNode) -> None:
    assert node.daemon is not None
    node.daemon.kill()


def wait_until_running(node: AgentNode) -> None:
    def running() -> bool:
        try:
            return state_of(node) == "Running"
        except LocalApiError:
            return False

    wait_until(running, SOON_S, f"{node.host.name} runs")


def pause(pulse: Pulse, seconds: float) -> None:
    """Let the pulse go on for so long."""
    beats = len(pulse.beats()) + seconds / PACE_S
    wait_until(lambda: len(pulse.beats()) >= beats, seconds * 3 + 5, "the pulse goes on")


def ours(host: Host) -> dict[str, list[str]]:
    """The device, rules, routes and tables of ours, each line once for every time it is there."""
    return {
        "device": host.run(["ip", "-o", "link", "show", TUNNEL]).splitlines(),
        "addresses": host.run(["ip", "-o", "addr", "show", TUNNEL]).splitlines(),
        "rules": host.run(["ip", "rule"]).splitlines(),
        "rules for IPv6": host.run(["ip", "-6", "rule"]).splitlines(),
        "routes": host.run(["ip", "route", "show", "table", "5170"]).splitlines(),
        "table": host.run(["nft", "list", "tables"]).splitlines(),
        "programs": look_at(host)["programs"].splitlines(),
    }


def test_a_crash_of_the_agent_does_not_touch_a_direct_path(mesh: Mesh) -> None:
    """kill -9 while 50 packets a second pass: the device carries on, the next agent adopts it."""
    had = ours(mesh.world.left)
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(25, SOON_S)
        kill(mesh.left)
        pause(pulse, RESTART_S)
        mesh.left.start()
        wait_until_running(mesh.left)
        pulse.wait_for_answers(100, SOON_S)
        beats = pulse.stop()
    print(f"{len(pulse.lost())} of {len(beats)} packets lost")
    assert len(pulse.lost()) <= FEW, pulse.lost()
    assert ours(mesh.world.left) == had
    assert mesh.left.daemon is not None
    assert "Took over the WireGuard device" in mesh.left.daemon.text()
    assert peer_of(mesh.left, "right").cur_addr, "the path is still direct"


def test_what_a_crash_takes_from_a_relayed_path_comes_back_with_the_agent(mesh: Mesh) -> None:
    """While the agent is down nobody relays; 2 s after its start the packets pass again."""
    mesh.world.left_router.block()
    had = ours(mesh.world.left)
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(25, SOON_S)
        kill(mesh.left)
        pause(pulse, RESTART_S)
        started = time.monotonic()
        mesh.left.start()
        back = pulse.first_answer_after(started, SOON_S)
        pulse.wait_for_answers(50, SOON_S)
        pulse.stop()
    print(f"packets pass {back - started:.2f} s after the agent's start")
    assert [beat for beat in pulse.lost() if beat.sent > back] == []
    assert ours(mesh.world.left) == had
    assert peer_of(mesh.left, "right").relay


def test_an_agent_starts_from_its_disk_while_the_coordinator_is_down(mesh: Mesh) -> None:
    """The netmap on disk is enough to talk directly again, after a crash and after a goodbye."""
    assert mesh.coordinator.program is not None
    assert mesh.left.daemon is not None
    right_ip = mesh.right.ip
    mesh.coordinator.program.kill()
    for end in (mesh.left.daemon.kill, lambda: stop(mesh.left)):
        end()
        mesh.left.start()
        wait_until_running(mesh.left)
        with Pulse(mesh.world.left, right_ip) as pulse:
            pulse.wait_for_answers(25, SOON_S)
        assert not control_online(mesh.left)


def say_down(node: AgentNode) -> None:
    node.command("down")


def stop(node: AgentNode) -> None:
    assert node.daemon is not None
    assert node.daemon.stop() == 0


def want_no_exit_node_and_stop(node: AgentNode) -> None:
    """Behind an exit node a stopped agent holds the traffic back: see test_leak.py."""
    node.set("--exit-node=")
    stop(node)


def kill_and_clean_up(node: AgentNode) -> None:
    kill(node)
    node.host.run([*node.daemon_command(), "--clean-up"], env=node.daemon_env())


@pytest.mark.parametrize("end", [say_down, want_no_exit_node_and_stop, kill_and_clean_up])
def test_an_agent_leaves_the_machine_as_it_was(
    mesh: Mesh, end: Callable[[AgentNode], None]
) -> None:
    """A subnet router that is an exit node, and a client of both, change all there is to change."""
    mesh.coordinator.approve("right", RIGHT_LAN, *EXIT)
    mesh.left.set("--accept-routes", "--exit-node=right")
    wait_until(lambda: leads_into_tunnel(mesh, "203.0.113.10"), SOON_S, "the exit node is used")
    wait_until(lambda: forwards(mesh.world.right), SOON_S, "the router forwards")
    with Pulse(mesh.world.left, "203.0.113.10") as pulse:
        pulse.wait_for_answers(5, SOON_S)
    assert differences(mesh.before["left"], look_at(mesh.world.left))
    for node in (mesh.left, mesh.right):
        end(node)
        assert differences(mesh.before[node.host.name], look_at(node.host)) == []
        assert not (node.directory / SETTINGS_RECORD).exists()


def leads_into_tunnel(mesh: Mesh, address: str) -> bool:
    host = mesh.world.left
    return f"dev {TUNNEL}" in tool(["ip", "-n", host.namespace, "route", "get", address])


def forwards(host: Host) -> bool:
    return host.run(["sysctl", "-n", "net.ipv4.ip_forward"]).strip() == "1"


def test_a_coordinator_that_restarts_is_found_again_and_no_packet_lost(mesh: Mesh) -> None:
    assert mesh.coordinator.program is not None
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(25, SOON_S)
        mesh.coordinator.program.stop()
        mesh.coordinator.start()
        healthy = time.monotonic()
        wait_until_online(mesh)
        print(f"both nodes are back {time.monotonic() - healthy:.2f} s after the coordinator")
        pulse.wait_for_answers(25, SOON_S)
    assert len(pulse.lost()) <= FEW, pulse.lost()
    a_change_arrives(mesh)


def test_five_seconds_without_coordinator_and_relay_cost_nothing(mesh: Mesh) -> None:
    """Two nodes that talk directly need neither."""
    assert mesh.coordinator.program is not None
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(25, SOON_S)
        mesh.coordinator.program.kill()
        pause(pulse, 5)
        assert peer_of(mesh.left, "right").cur_addr
        mesh.coordinator.start()
        healthy = time.monotonic()
        wait_until_online(mesh)
        print(f"both nodes are back {time.monotonic() - healthy:.2f} s after the coordinator")
    assert len(pulse.lost()) <= FEW, pulse.lost()
    a_change_arrives(mesh)


def wait_until_online(mesh: Mesh) -> None:
    wait_until(
        lambda: control_online(mesh.left) and control_online(mesh.right),
        SOON_S,
        "both nodes are connected again",
    )


def a_change_arrives(mesh: Mesh) -> None:
    mesh.left.set("--accept-routes")
    for change, leads in ((mesh.admin.revoke_routes, False), (mesh.admin.approve_routes, True)):
        change("right", (RIGHT_LAN,))
        wait_until(
            lambda leads=leads: leads_into_tunnel(mesh, PRINTER) is leads, SOON_S, "a change"
        )


def test_a_device_that_somebody_removes_is_made_anew(mesh: Mesh) -> None:
    """The agent notices by itself, and everything else goes on from where it was."""
    had = ours(mesh.world.left)
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(25, SOON_S)
        mesh.world.left.run(["ip", "link", "delete", TUNNEL])
        removed = time.monotonic()
        back = pulse.first_answer_after(removed, 2 * SOON_S)
        pulse.wait_for_answers(25, SOON_S)
    print(f"packets pass {back - removed:.2f} s after the device was removed")
    assert ours(mesh.world.left).keys() == had.keys()
    assert ours(mesh.world.left)["rules"] == had["rules"]


def test_a_peer_reaches_a_node_that_went_down_and_came_up_without_waiting(mesh: Mesh) -> None:
    """The peer's old session is void, which WireGuard by itself notices after 15 s."""
    mesh.right.command("down")
    mesh.right.up()
    with Pulse(mesh.world.left, mesh.right.ip) as pulse:
        pulse.wait_for_answers(1, GREETED_S)


def test_what_an_admin_says_about_routes_is_in_force_at_once(mesh: Mesh) -> None:
    """From the admin's command to the client's routing: 250 ms; asserted generously."""
    mesh.left.set("--accept-routes")
    mesh.admin.revoke_routes("right", (RIGHT_LAN, *EXIT))
    wait_until(lambda: not has_route(mesh), SOON_S, "no route")
    approve, revoke = mesh.admin.approve_routes, mesh.admin.revoke_routes
    measure("a route is approved", lambda: approve("right", (RIGHT_LAN,)), lambda: has_route(mesh))
    measure(
        "a route is revoked", lambda: revoke("right", (RIGHT_LAN,)), lambda: not has_route(mesh)
    )
    mesh.left.set("--exit-node=right")
    wait_until(lambda: not is_exit(mesh), SOON_S, "no exit node")
    measure("an exit node is approved", lambda: approve("right", EXIT), lambda: is_exit(mesh))
    measure("an exit node is revoked", lambda: revoke("right", EXIT), lambda: not is_exit(mesh))


def measure(what: str, say: Callable[[], object], in_force: Callable[[], bool]) -> None:
    """How long after the admin's command was answered the client's routing knows."""
    asked = time.monotonic()
    say()
    answered = time.monotonic()
    wait_until(in_force, SOON_S, what)
    seen = time.monotonic()
    print(
        f"{what}: in force {seen - answered:.3f} s after the answer ({seen - asked:.3f} s in all)"
    )


def has_route(mesh: Mesh) -> bool:
    return leads_into_tunnel(mesh, PRINTER)


def is_exit(mesh: Mesh) -> bool:
    """Whether WireGuard sends the internet to the right node (the routes follow the owner)."""
    return "0.0.0.0/0" in mesh.world.left.run(["wg", "show", TUNNEL, "allowed-ips"])


def test_the_files_of_an_agent_are_its_own(mesh: Mesh) -> None:
    """Keys and netmap are readable by root alone."""
    files = list(Path(mesh.left.directory).glob("*.json"))
    assert {"state.json", "netmap.json"} <= {file.name for file in files}
    assert {oct(file.stat().st_mode & 0o777) for file in files} == {"0o600"}
