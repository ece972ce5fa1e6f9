"""Behind an exit node every name is looked up there: never on the uplink, whatever happens.

laptop ── hostel ──┬── internet ──┬── home ──┬── appliance (exit node)
phone (the hostel's name server)  vps        └── printer (home's name server)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest

from appliance.peerapi.service import likely_ports
from tests.netns.lab import Host, wait_until
from tests.netns.lab.resolver import (
    NameServer,
    forget_hosts_file,
    look_up,
    resolv_conf_of,
    set_name_server,
)
from tests.netns.lab.web import start_page
from tests.support.dnslab import ask, is_silent
from tests.support.interop import Interop, open_world, page
from tests.support.mesh import AgentNode

pytestmark = pytest.mark.netns

QUERY = "EjQBAAABAAAAAAAAA3dlYgdleGFtcGxlAAABAAE"  # web.example, A
STUB = "100.100.100.100"
STUB6 = "fd7a:115c:a1e0::53"
TXT = 16
SOON_S = 15.0


@dataclass
class Scene:
    world: Interop
    hostel: NameServer
    home: NameServer
    laptop: AgentNode
    appliance: AgentNode

    @property
    def lan_line(self) -> str:
        return f"nameserver {self.hostel.host.ip}\n"

    def leave_through_home(self, *flags: str) -> None:
        self.laptop.set("--exit-node=appliance", *flags)
        host = self.laptop.host
        wait_until(lambda: STUB in resolv_conf_of(host), SOON_S, "resolv.conf names the stub")
        wait_until(
            lambda: look_up(host, "ready.example") == self.home.host.ip, SOON_S, "home answers"
        )

    def come_back(self) -> None:
        self.laptop.start()
        self.laptop.set("--exit-node=", "--no-exit-node-allow-lan-access", "--accept-dns")
        host = self.laptop.host
        wait_until(lambda: resolv_conf_of(host) == self.lan_line, SOON_S, "resolv.conf is back")


@pytest.fixture(scope="module")
def made() -> Iterator[Scene]:
    with open_world() as world:
        phone, printer = world.world.phone, world.world.printer
        start_page(phone).wait_for_line("serving")
        set_name_server(world.world.laptop, phone.ip)
        set_name_server(world.world.appliance, printer.ip)
        hostel, home = NameServer(phone), NameServer(printer)
        appliance = world.home_gateway()
        laptop = world.agent("laptop")
        laptop.wait_for_peer("appliance")
        yield Scene(world, hostel, home, laptop, appliance)


@pytest.fixture
def scene(made: Scene) -> Iterator[Scene]:
    yield made
    made.come_back()


def test_names_are_looked_up_at_home_and_nothing_is_asked_on_the_uplink(scene: Scene) -> None:
    host = scene.laptop.host
    assert look_up(host, "before.example") == scene.hostel.host.ip
    recording = host.capture("eth0", "port 53")
    scene.leave_through_home()
    for number in range(5):
        assert look_up(host, f"inside{number}.example") == scene.home.host.ip
    assert ask(host, STUB6, "six.example").startswith("0 0 1")
    assert ask(host, STUB, "long.example", TXT).startswith("0 1 0"), "cut for UDP"
    assert ask(host, STUB, "long.example", TXT, "tcp").startswith("0 0 10"), "whole over TCP"
    assert is_silent(recording)
    assert scene.home.asked("inside4.example") == [scene.appliance.host.ip]
    assert "tcp" in scene.home.transports("long.example")
    assert not {name for name in scene.hostel.names() if name != "before.example"}
    scene.come_back()
    wait_until(
        lambda: look_up(host, "after.example") == scene.hostel.host.ip, SOON_S, "the hostel answers"
    )


def test_nothing_leaks_while_the_exit_node_is_gone(scene: Scene) -> None:
    host, appliance = scene.laptop.host, scene.appliance
    scene.leave_through_home()
    recording = host.capture("eth0", "port 53")
    assert appliance.daemon is not None
    os.kill(appliance.daemon.pid, signal.SIGSTOP)
    host.block(f"ip daddr {scene.world.world.home.ip}")
    try:
        assert look_up(host, "gone.example").startswith("no answer")
        log = scene.laptop.daemon
        assert log is not None
        log.wait_for_line("Names are not looked up: the exit node appliance")
        said = " ".join(scene.laptop.status()["Health"])
        assert "Nobody else is asked" in said
    finally:
        os.kill(appliance.daemon.pid, signal.SIGCONT)
        host.unblock()
    wait_until(
        lambda: look_up(host, "back.example") == scene.home.host.ip, SOON_S, "home answers again"
    )
    assert "Nobody else is asked" not in " ".join(scene.laptop.status()["Health"])
    assert is_silent(recording)
    assert "gone.example" not in scene.hostel.names()


def test_a_killed_agent_leaks_nothing_and_takes_up_where_it_was(scene: Scene) -> None:
    host = scene.laptop.host
    scene.leave_through_home()
    recording = host.capture("eth0", "port 53")
    assert scene.laptop.daemon is not None
    scene.laptop.daemon.kill()
    assert look_up(host, "orphan.example").startswith("no answer")
    scene.laptop.start()
    wait_until(
        lambda: look_up(host, "again.example") == scene.home.host.ip, SOON_S, "home answers again"
    )
    assert is_silent(recording)
    assert "orphan.example" not in scene.hostel.names()


def test_cleaning_up_after_a_crash_gives_the_resolver_back(scene: Scene) -> None:
    host = scene.laptop.host
    scene.leave_through_home()
    assert scene.laptop.daemon is not None
    scene.laptop.daemon.kill()
    host.run([*scene.laptop.daemon_command(), "--clean-up"])
    assert resolv_conf_of(host) == scene.lan_line


def test_a_dhcp_client_that_rewrites_resolv_conf_changes_nothing_yet(scene: Scene) -> None:
    host = scene.laptop.host
    scene.leave_through_home()
    recording = host.capture("eth0", "port 53")
    renewed = f"search hostel\n{scene.lan_line}"
    resolv_conf_of(host, renewed)
    wait_until(lambda: STUB in resolv_conf_of(host), SOON_S, "ours is put back")
    assert look_up(host, "renewed.example") == scene.home.host.ip
    assert is_silent(recording)
    scene.laptop.set("--exit-node=")
    wait_until(lambda: resolv_conf_of(host) == renewed, SOON_S, "what the client wrote comes back")
    resolv_conf_of(host, scene.lan_line)


def test_the_hostels_name_server_is_out_of_reach_even_where_its_lan_is_not(scene: Scene) -> None:
    host, hostel = scene.laptop.host, scene.hostel
    scene.leave_through_home("--exit-node-allow-lan-access")
    wait_until(lambda: page(scene.laptop, hostel.host.ip), SOON_S, "the LAN is in reach")
    recording = host.capture("eth0", "port 53")
    for transport in ("udp", "tcp"):
        asked = ask(host, hostel.host.ip, "stubborn.example", transport=transport, timeout_s=2)
        assert asked.startswith("no answer")
    assert is_silent(recording)
    assert "stubborn.example" not in hostel.names()


def test_with_accept_dns_off_the_resolver_is_left_alone(scene: Scene) -> None:
    host = scene.laptop.host
    scene.laptop.set("--accept-dns=false", "--exit-node=appliance")
    wait_until(
        lambda: ask(host, STUB, "byhand.example", timeout_s=2).startswith("0 0 1"),
        SOON_S,
        "the stub answers who asks it",
    )
    assert resolv_conf_of(host) == scene.lan_line
    assert scene.home.asked("byhand.example")


def test_neighbours_and_peers_get_no_answer_from_the_stub(scene: Scene) -> None:
    scene.leave_through_home()
    neighbour, laptop = scene.hostel.host, scene.laptop.host
    neighbour.run(["ip", "route", "add", STUB, "via", laptop.ip])
    try:
        assert ask(neighbour, STUB, "nosy.example", timeout_s=1).startswith("no answer")
        assert ask(neighbour, STUB, "nosy.example", transport="tcp", timeout_s=1).startswith("no")
    finally:
        neighbour.run(["ip", "route", "del", STUB])
    assert not scene.home.asked("nosy.example")


def test_the_coordinator_is_found_by_name_while_all_other_names_are_held_back() -> None:
    with open_world() as world:
        laptop, vps = world.world.laptop, world.world.vps
        forget_hosts_file(laptop)
        set_name_server(laptop, world.world.phone.ip)
        hostel = NameServer(world.world.phone, vps=vps.ip)
        world.home_gateway()
        key = world.coordinator.new_key("family")
        node = AgentNode(laptop, replace(key, url=f"https://{vps.name}"))
        node.start()
        node.up("--exit-node=nobody")  # nothing but the coordinator can be reached from the start
        assert look_up(laptop, "held.example").startswith("no answer")
        assert node.daemon is not None
        node.daemon.kill()
        node.start()
        node.daemon.wait_for_line("The coordinator is connected", 20)
        node.set("--exit-node=appliance")
        node.wait_for_peer("appliance")
        assert hostel.names() == {vps.name}


def test_a_traveller_who_waits_for_the_exit_node_gets_names_as_soon_as_it_is_approved() -> None:
    with open_world() as world:
        laptop = world.world.laptop
        set_name_server(laptop, world.world.phone.ip)
        set_name_server(world.world.appliance, world.world.printer.ip)
        hostel, home = NameServer(world.world.phone), NameServer(world.world.printer)
        world.agent("appliance", "--advertise-exit-node")
        node = world.agent("laptop", "--exit-node=appliance")
        assert look_up(laptop, "early.example").startswith("no answer")
        said = " ".join(node.status()["Health"])
        assert "Names are not looked up" in said
        world.coordinator.approve("appliance", "exit")
        wait_until(lambda: look_up(laptop, "late.example") == home.host.ip, SOON_S, "home answers")
        wait_until(
            lambda: "Names are not looked up" not in " ".join(node.status()["Health"]),
            SOON_S,
            "the warning is withdrawn",
        )
        assert not hostel.names()


def test_only_peers_that_may_use_the_exit_node_get_its_answers(scene: Scene) -> None:
    laptop, outsider = scene.laptop.host, scene.home.host
    address = scene.appliance.ip
    port = likely_ports(ip_address(address))[0]
    coordinator = scene.world.coordinator
    request = f"GET /dns-query?dns={QUERY} HTTP/1.1\r\nHost: {address}:{port}\r\n\r\n"
    stray = request.replace("Host: 100", "Host: 200")
    assert said(laptop, address, port, request).startswith("HTTP/1.1 200")
    assert said(laptop, address, port, stray).startswith("HTTP/1.1 403")
    outsider.run(["ip", "route", "add", f"{address}/32", "via", scene.appliance.host.ip])
    assert said(outsider, address, port, request) == ""
    lan_only = {"acls": [{"action": "accept", "src": ["*"], "dst": ["192.168.1.0/24:*"]}]}
    try:
        coordinator.set_policy(lan_only)
        wait_until(lambda: said(laptop, address, port, request) == "", SOON_S, "no answer any more")
    finally:
        coordinator.set_policy({})
    wait_until(lambda: said(laptop, address, port, request), SOON_S, "answers again")


def said(host: Host, address: str, port: int, request: str) -> str:
    """What comes back; nothing when there is no connection."""
    try:
        with host.connect(address, port, timeout_s=1) as sock:
            sock.sendall(request.encode())
            return sock.recv(65535).decode("latin-1")
    except OSError:
        return ""
