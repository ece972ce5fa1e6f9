"""The packaged agent beside resolved and NetworkManager, with an exit node in use.

 laptop ── hostel ────┬──────────── home ── appliance (exit node)
    └─ recorded here  vps, web, dns

The laptop is a booted Debian 13 in the lab's network: NetworkManager has its address by DHCP,
resolved looks names up. It talks all the time, and its cable is recorded. One story, in this order.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.gateway.routes import TABLE
from tests.netns.lab import wait_until
from tests.netns.lab.frames import Sort
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.package.conftest import MakeSystem, note
from tests.package.snapshots import differences, snapshot
from tests.package.system import System
from tests.support import dhcp
from tests.support.gatewaylab import TUNNEL, gateway_lab, seen, start_mesh
from tests.support.leaks import UPLINK, Watch, now, watching
from tests.support.pulse import Pulse

SOON_S = 30.0
STUB = "100.100.100.100"
KEPT = {
    *("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"),
    *("net.ipv4.conf.all.src_valid_mark", "net.ipv6.fwmark_reflect"),
}
"""Settings of the kernel that the agent changes here."""
NETWORK_MANAGER = f"""\
[device-test]
match-device=interface-name:{UPLINK}
managed=1
"""
CONNECTION = """\
[connection]
id=lan
type=ethernet
interface-name={uplink}

[ipv4]
method=auto
dns={router};

[ipv6]
method=manual
address1={address6}
gateway={gateway6}
"""


@dataclass
class World:
    """The journey with a booted laptop."""

    places: Journey
    system: System
    watch: Watch
    untouched: dict[str, str]
    """How the laptop's network was before the package came."""

    def http_seen(self) -> str:
        """Whom the web takes the laptop for; empty when it does not answer."""
        return seen(self.places.laptop, self.places.web.ip)

    def wait_for_way(self, *, through: str) -> None:
        """Wait until the laptop reaches the web by this house."""
        wait_until(lambda: self.http_seen() == through, SOON_S, f"the web sees {through}")

    def wait_for_stub(self) -> None:
        """Wait until resolved asks us."""
        asked = ["resolvectl", "dns", TUNNEL]
        wait_until(lambda: STUB in self.system.run(asked), SOON_S, "resolved asks us")


@pytest.fixture(scope="module")
def world(make_system: MakeSystem, package: Path) -> Iterator[World]:
    reason = dhcp.why_no_dhcp()
    if reason:
        pytest.skip(reason)
    with gateway_lab() as lab:
        places = journey(lab)
        places.hostel.set_sysctl("net.ipv4.conf.lan.proxy_arp", "1")
        mesh = start_mesh(places.vps)
        mesh.join(places.appliance, "--advertise-exit-node")
        mesh.coordinator.approve("appliance", "exit")
        start_page(places.web).wait_for_line("serving")
        dhcp.serve(places.hostel, places.laptop)
        system = make_system(places.laptop.namespace)
        furnish(system, places)
        unplug(places)
        system.boot()
        wait_until(
            lambda: "proto dhcp" in system.run("ip -4 route"), SOON_S, "the laptop has its address"
        )
        untouched = snapshot(system)
        system.install(package, "wireguard-go")
        join = mesh.coordinator.new_key("family", "--reusable")
        shutil.copy(join.ca_file, system.root / "etc" / "test-ca.pem")
        shutil.copy(join.key_file, system.root / "root" / "key")
        system.write(
            "/etc/systemd/system/latchkey-agent.service.d/lab.conf",
            "[Service]\nEnvironment=SSL_CERT_FILE=/etc/test-ca.pem\n",
        )
        system.run("systemctl daemon-reload")
        system.run("systemctl restart latchkey-agent")
        with watching(places) as watch:
            up = ["latchkey", "up", f"--login-server={join.url}", "--auth-key=file:/root/key"]
            system.run([*up, "--hostname=laptop"])
            yield World(places, system, watch, untouched)
        system.halt()


def furnish(system: System, places: Journey) -> None:
    """Let NetworkManager manage the uplink: it leaves virtual cables alone otherwise."""
    system.write("/etc/NetworkManager/conf.d/lab.conf", NETWORK_MANAGER)
    address6 = next(a for a in places.laptop.plan.links[0].addresses if a.version == 6)
    gateway6 = next(r.gateway for r in places.laptop.plan.routes if r.gateway.version == 6)
    text = CONNECTION.format(
        uplink=UPLINK, router=places.hostel.inside_ip, address6=address6, gateway6=gateway6
    )
    system.write("/etc/NetworkManager/system-connections/lan.nmconnection", text, 0o600)


def unplug(places: Journey) -> None:
    """The cable is there, and nothing is configured."""
    places.laptop.run(["ip", "address", "flush", "dev", UPLINK])
    places.laptop.run(["ip", "link", "set", UPLINK, "down"])


def reboot(world: World) -> float:
    """Switch off, forget what a kernel forgets, and boot; when it was off.

    The network namespace outlives the system that was in it, as no machine's network does.
    """
    world.system.halt()
    unplug(world.places)
    laptop = world.places.laptop
    laptop.run(["nft", "flush", "ruleset"])
    for version in ("-4", "-6"):
        laptop.run(["ip", version, "rule", "flush"])
        laptop.run(["ip", version, "rule", "add", "priority", "32766", "lookup", "main"])
        laptop.try_run(["ip", version, "route", "flush", "table", str(TABLE)])
    laptop.run(["ip", "rule", "add", "priority", "32767", "lookup", "default"])
    for line in world.untouched["kernel settings"].splitlines():
        key, _, value = line.partition(" = ")
        if key in KEPT:
            laptop.set_sysctl(key, value)
    off = now()
    world.system.boot()
    return off


def state_of(system: System) -> dict[str, object]:
    state: dict[str, object] = json.loads(system.run("cat /var/lib/latchkey/state.json"))
    return state


def test_no_unit_fails_and_the_laptop_is_in_the_mesh(world: World) -> None:
    assert world.system.failed_units() == []
    assert "appliance" in world.system.run("latchkey status")


def test_network_manager_has_the_uplink_and_leaves_the_tunnel_alone(world: World) -> None:
    lines = world.system.run("nmcli --terse --fields DEVICE,STATE device").splitlines()
    states = dict(line.split(":", 1) for line in lines)
    assert states[UPLINK] == "connected"
    assert states[TUNNEL] == "unmanaged"


def test_with_an_exit_node_everything_leaves_through_it(world: World) -> None:
    assert world.http_seen() == "198.51.100.2"
    world.system.run("latchkey set --exit-node appliance")
    world.wait_for_way(through="192.0.2.2")


def test_resolved_asks_us_and_nobody_else(world: World) -> None:
    world.wait_for_stub()
    assert "~." in world.system.run(f"resolvectl domain {TUNNEL}")
    assert world.system.run("readlink /etc/resolv.conf").strip().endswith("stub-resolv.conf")


def test_nothing_leaves_in_the_clear(world: World) -> None:
    began = now()
    world.watch.wait_for_talk(SOON_S)
    assert world.watch.leaks(began) == []


def test_the_lease_is_renewed_meanwhile(world: World) -> None:
    """Leases last six seconds: after twenty it was renewed, or the address is gone."""

    def asked() -> int:
        return sum(1 for frame in world.watch.sent() if frame.sort is Sort.DHCP)

    began, before = now(), asked()
    wait_until(lambda: asked() >= before + 3, SOON_S, "NetworkManager renews")
    time.sleep(dhcp.LEASE_S + 1)
    assert world.places.laptop.ip in world.system.run(f"ip -4 address show dev {UPLINK}")
    assert world.watch.leaks(began) == []


def test_an_upgrade_keeps_the_tunnel_and_lets_nothing_out(world: World, next_package: Path) -> None:
    key = state_of(world.system)
    wireguard = world.system.try_run("pgrep wireguard-go").stdout
    began = now()
    with Pulse(world.places.laptop, world.places.web.ip) as pulse:
        world.system.install(next_package)
        pulse.wait_for_answers(20, SOON_S)
        lost = len(pulse.lost())
    note(f"of {len(pulse.beats())} echo requests during an upgrade {lost} were lost")
    assert "+next" in world.system.run("dpkg-query --show latchkey")
    assert world.system.try_run("pgrep wireguard-go").stdout == wireguard
    assert {name: value for name, value in state_of(world.system).items() if "key" in name} == {
        name: value for name, value in key.items() if "key" in name
    }
    assert state_of(world.system)["prefs"] == key["prefs"]
    world.wait_for_way(through="192.0.2.2")
    world.wait_for_stub()
    assert world.watch.leaks(began) == []


def test_an_agent_that_is_killed_comes_back_and_nothing_gets_out(world: World) -> None:
    began = now()
    world.system.run("systemctl kill --signal=KILL latchkey-agent")
    wait_until(
        lambda: world.system.try_run("systemctl is-active latchkey-agent").stdout == "active\n",
        SOON_S,
        "systemd starts the agent again",
    )
    world.wait_for_way(through="192.0.2.2")
    assert world.watch.leaks(began) == []


def test_without_our_units_the_talk_leaves_at_boot(world: World) -> None:
    """The probe works: what the next test does not find would be found."""
    units = "latchkey-holdback latchkey-agent"
    world.system.run(f"systemctl mask {units}")
    began = reboot(world)
    world.wait_for_way(through="198.51.100.2")
    assert world.watch.leaks(began)
    world.system.run(f"systemctl unmask {units}")


def test_at_boot_no_packet_leaves_before_the_block(world: World) -> None:
    began = reboot(world)
    world.wait_for_way(through="192.0.2.2")
    world.watch.wait_for_talk(SOON_S)
    assert world.watch.leaks(began) == []
    assert world.system.failed_units() == []
    assert "ordering cycle" not in world.system.run("journalctl --no-pager --boot --output=cat")


def test_the_block_is_there_before_networkmanager_starts(world: World) -> None:
    def moment(unit: str, what: str) -> int:
        return int(world.system.run(f"systemctl show --value --property={what} {unit}"))

    blocked = moment("latchkey-holdback", "ActiveEnterTimestampMonotonic")
    assert blocked
    assert blocked <= moment("NetworkManager", "InactiveExitTimestampMonotonic")
    assert moment("latchkey-agent", "InactiveExitTimestampMonotonic") >= blocked


def test_after_boot_resolved_asks_us(world: World) -> None:
    world.wait_for_stub()
    assert world.system.run("readlink /etc/resolv.conf").strip().endswith("stub-resolv.conf")


def test_an_agent_that_cannot_start_at_boot_lets_nothing_out(world: World) -> None:
    world.system.run(["sh", "-c", "echo 'nonsense = 1' >> /etc/latchkey/agent.toml"])
    began = reboot(world)
    wait_until(
        lambda: any(f.sort is Sort.DHCP and f.time_s > began for f in world.watch.sent()),
        SOON_S,
        "NetworkManager asks for an address",
    )
    time.sleep(3)
    assert world.system.try_run("systemctl is-active latchkey-agent").stdout != "active\n"
    assert world.places.laptop.ip in world.system.run(f"ip -4 address show dev {UPLINK}")
    assert world.watch.leaks(began) == []
    world.system.run(["sed", "-i", "/nonsense/d", "/etc/latchkey/agent.toml"])
    world.system.run("systemctl start latchkey-agent")
    world.wait_for_way(through="192.0.2.2")


def test_down_gives_resolved_its_servers_back(world: World) -> None:
    world.system.run("latchkey down")
    world.wait_for_way(through="198.51.100.2")
    said = world.system.run("resolvectl dns")
    assert STUB not in said
    assert world.places.hostel.inside_ip in said


def test_removal_with_an_exit_node_in_use_gives_the_network_back(world: World) -> None:
    world.system.run("latchkey up")
    world.wait_for_way(through="192.0.2.2")
    world.system.run("apt-get purge --yes --quiet latchkey")
    world.wait_for_way(through="198.51.100.2")
    changed = differences(world.untouched, snapshot(world.system))
    assert not changed, json.dumps(changed, indent=1)
    assert world.system.try_run("pgrep wireguard-go").stdout == ""
