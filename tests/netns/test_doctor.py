"""The doctor names the broken layer; `down --clean` leaves a machine as it was.

laptop ── hostel ──┬── internet ──┬── home ──┬── appliance (carries 192.168.1.0/24)
                  vps (coordinator + relay)  └── printer 192.168.1.20
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.types import DoctorReport
from tests.netns.lab import Host, wait_until
from tests.netns.lab.programs import Program
from tests.netns.lab.web import start_page
from tests.netns.topologies import HomeAndHostel, home_and_hostel
from tests.support.gatewaylab import SOON_S, Mesh, gateway_lab, start_mesh, wait_for_page
from tests.support.machine import differences, look_at

pytestmark = pytest.mark.netns

LAN = "192.168.1.0/24"
PRINTER = "192.168.1.20"
NOBODY = "192.168.1.99"


@dataclass
class World:
    lab: HomeAndHostel
    mesh: Mesh
    before: dict[str, dict[str, str]]

    def ask(self, node: str, target: str = "") -> DoctorReport:
        return LocalClient(self.mesh[node].socket).doctor(target)

    def wait_for(self, node: str, target: str, wanted: str) -> DoctorReport:
        """Ask until a layer is the broken one (empty: none is)."""
        found: list[DoctorReport] = []

        def so() -> bool:
            found.append(self.ask(node, target))
            return found[-1].broken == wanted

        wait_until(so, 4 * SOON_S, f"{node}: {target} is broken at {wanted!r}")
        return found[-1]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        hosts = home_and_hostel(lab)
        before = {host.name: look_at(host) for host in (hosts.appliance, hosts.laptop)}
        mesh = start_mesh(hosts.vps)
        mesh.join(hosts.appliance, f"--advertise-routes={LAN}")
        mesh.join(hosts.laptop, "--accept-routes")
        mesh.coordinator.approve("appliance", LAN)
        start_page(hosts.printer).wait_for_line("serving")
        wait_for_page(hosts.laptop, PRINTER)
        yield World(hosts, mesh, before)


def layers(report: DoctorReport) -> list[str]:
    return list(dict.fromkeys(item.layer for item in report.items))


def test_the_whole_profile_and_every_warning_are_listed(world: World) -> None:
    report = world.ask("appliance")
    assert {"profile", "health", "clock"} <= set(layers(report))
    assert any(item.name == "net.ipv4.ip_forward" for item in report.items)
    assert all(item.fix for item in report.items if item.is_broken)


def test_a_second_dhcp_server_in_the_lan_is_found(world: World) -> None:
    """Both are busybox's; the first alone is as it should be."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is missing: no DHCP server to find")

    def said() -> list[tuple[str, str]]:
        items = world.ask("appliance").items
        return [(item.state, item.evidence) for item in items if item.name == "DHCP at eth0"]

    assert said() == [("ok", "Nobody hands out addresses at eth0.")]
    first = _serve_dhcp(world.lab.home, "192.168.1.1")
    wait_until(lambda: said()[0][0] == "ok" and "192.168.1.1 alone" in said()[0][1], SOON_S, "one")
    second = _serve_dhcp(world.lab.printer, PRINTER)
    both = f"192.168.1.1 and {PRINTER} all hand out addresses at eth0."
    wait_until(lambda: said() == [("wrong", both)], SOON_S, "two")
    report = world.ask("appliance")
    assert (report.broken, report.code) == ("lan", ExitStatus.DOCTOR_LAN.code)
    first.kill()
    second.kill()


def _serve_dhcp(host: Host, address: str) -> Program:
    interface = json.loads(host.run(["ip", "-j", "route", "get", "192.168.1.199"]))[0]["dev"]
    config = host.directory / "udhcpd.conf"
    leases = host.directory / "udhcpd.leases"
    leases.touch()
    config.write_text(
        f"start 192.168.1.100\nend 192.168.1.150\ninterface {interface}\n"
        f"lease_file {leases}\npidfile {host.directory / 'udhcpd.pid'}\n"
        f"option subnet 255.255.255.0\noption router {address}\n",
        encoding="ascii",
    )
    return host.start("udhcpd", ["busybox", "udhcpd", "-f", str(config)])


def test_what_is_reached_has_no_broken_layer_and_all_are_walked(world: World) -> None:
    report = world.wait_for("laptop", PRINTER, "")
    walked = ["name", "policy", "key", "online", "path", "route", "nat", "lan", "clock"]
    assert layers(report) == walked
    assert report.verdict == f"{PRINTER} is reached."
    assert world.ask("laptop", "appliance").code == "ok"


def test_the_router_says_who_may_reach_a_host_of_its_lan(world: World) -> None:
    report = world.ask("appliance", PRINTER)
    policy = next(item for item in report.items if item.layer == "policy")
    assert "laptop" in policy.evidence
    assert report.broken == ""


def test_a_name_that_nobody_has(world: World) -> None:
    assert world.ask("laptop", "no-such-thing").code == ExitStatus.DOCTOR_NAME.code
    node = world.mesh["laptop"]
    done = world.lab.laptop.try_run([*node.cli(), "doctor", "10.99.0.1"])
    assert done.returncode == ExitStatus.DOCTOR_NAME
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_host_that_is_not_there(world: World) -> None:
    report = world.ask("laptop", NOBODY)
    assert report.code == ExitStatus.DOCTOR_LAN.code
    assert "nobody is there" in report.verdict


def test_a_firewall_of_the_host(world: World) -> None:
    world.lab.printer.block("ip saddr 192.168.1.10")
    try:
        report = world.ask("laptop", PRINTER)
        assert report.code == ExitStatus.DOCTOR_LAN.code
        assert "its own firewall" in report.verdict
    finally:
        world.lab.printer.unblock()


def test_a_route_that_is_not_accepted(world: World) -> None:
    world.mesh["laptop"].set("--no-accept-routes")
    try:
        report = world.ask("laptop", PRINTER)
        assert report.code == ExitStatus.DOCTOR_ROUTE.code
        assert "latchkey set --accept-routes" in report.verdict
    finally:
        world.mesh["laptop"].set("--accept-routes")


def test_a_route_that_is_not_approved_is_said_at_the_router(world: World) -> None:
    world.mesh["appliance"].set(f"--advertise-routes={LAN},10.60.0.0/24")
    try:
        report = world.ask("appliance", "10.60.0.7")
        assert report.code == ExitStatus.DOCTOR_ROUTE.code
        assert "routes approve appliance 10.60.0.0/24" in report.verdict
    finally:
        world.mesh["appliance"].set(f"--advertise-routes={LAN}")


def test_shields_that_are_up_are_policy_on_both_ends(world: World) -> None:
    world.mesh["appliance"].set("--shields-up")
    try:
        assert world.ask("appliance", PRINTER).code == ExitStatus.DOCTOR_POLICY.code
        world.wait_for("laptop", PRINTER, "policy")
    finally:
        world.mesh["appliance"].set("--no-shields-up")
    world.wait_for("laptop", PRINTER, "")


def test_forwarding_that_somebody_takes_away_is_repaired_or_named(world: World) -> None:
    world.lab.appliance.set_sysctl("net.ipv4.ip_forward", "0")
    wait_until(
        lambda: world.ask("appliance").broken in ("", "profile"), SOON_S, "it is back, or named"
    )
    wait_for_page(world.lab.laptop, PRINTER)


def test_a_peer_without_any_path(world: World) -> None:
    def gone() -> bool:
        return world.ask("laptop", "appliance").broken in ("online", "path")

    world.lab.home.block("meta nfproto ipv4")
    try:
        wait_until(gone, 4 * SOON_S, "the peer is out of reach")
    finally:
        world.lab.home.unblock()
    world.wait_for("laptop", PRINTER, "")


def doctor_without_agent(host: Host, world: World, *more: str) -> dict[str, object]:
    node = world.mesh[host.name]
    where = ["--state-dir", str(node.directory)]
    done = host.try_run([*node.cli(), "doctor", *more, "--json", *where])
    assert done.returncode == ExitStatus.AGENT_NOT_RUNNING
    report: dict[str, object] = json.loads(done.stdout)
    return report


def test_without_an_agent_it_says_what_it_can_and_down_clean_leaves_nothing(world: World) -> None:
    host, node = world.lab.appliance, world.mesh["appliance"]
    assert node.daemon is not None
    node.daemon.kill()
    report = doctor_without_agent(host, world, PRINTER)
    assert report["AgentRunning"] is False
    text = json.dumps(report)
    assert "left the packet filter" in text
    assert "net.ipv4.ip_forward" in text
    clean = [*node.cli(), "down", "--clean", "--state-dir", str(node.directory)]
    for _ in range(2):  # it may be repeated
        host.run(clean)
        assert differences(world.before["appliance"], look_at(host)) == []
    node.start()
    assert world.mesh.status("appliance").backend_state == "Stopped", "it was told to stay down"
    host.run(clean)
    assert differences(world.before["appliance"], look_at(host)) == []


def test_down_clean_with_a_running_agent_leaves_nothing_either(world: World) -> None:
    host, node = world.lab.laptop, world.mesh["laptop"]
    host.run([*node.cli(), "down", "--clean"])
    assert differences(world.before["laptop"], look_at(host)) == []
