"""The lab itself: IPv6, firewalls, captures, programs, and cleaning up after a kill -9.

printer ── home router ──┐                        ┌── web
(192.168.1.20, fd00::20) ├──────── internet ──────┤
            office ── firewall (no NAT)           └── (203.0.113.80, 2001:db8:113::80)
"""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import Host, Kind, Lab, LabError, Router, between, count, wait_until
from tests.netns.lab.namespaces import clean, namespaces, pids
from tests.netns.lab.pki import Authority
from tests.netns.lab.web import client_seen, start_page

pytestmark = pytest.mark.netns


@dataclass(frozen=True, slots=True)
class World:
    """The topology of this module."""

    home: Router
    printer: Host
    firewall: Router
    office: Host
    web: Host


def build(lab: Lab) -> World:
    isp = lab.public("isp", "192.0.2.0/24", "2001:db8:2::/64")
    outside = lab.public("outside", "203.0.113.0/24", "2001:db8:113::/64")
    lan = lab.lan("lan", "192.168.1.0/24", "fd00:1::/64")
    campus = lab.lan("campus", "198.51.100.0/24", "2001:db8:51::/64")
    world = World(
        home=lab.router("home", outside=isp, number=2, inside=lan, nat6=True),
        printer=lan.host("printer", 20),
        firewall=lab.router("firewall", outside=isp, number=3, inside=campus, nat=None),
        office=campus.host("office", 5),
        web=outside.host("web", 80),
    )
    lab.build()
    return world


def test_a_page_tells_the_address_from_which_it_was_asked(lab: Lab) -> None:
    world = build(lab)
    page = start_page(world.web)
    page.wait_for_line("serving")
    web = world.web
    assert client_seen(world.printer.http_get(web.ip)) == world.home.ip
    assert client_seen(world.printer.http_get(web.ip6)) == world.home.ip6
    assert client_seen(world.office.http_get(web.ip)) == world.office.ip
    assert client_seen(world.office.http_get(web.ip6)) == world.office.ip6


def test_a_firewall_lets_nobody_in_from_outside(lab: Lab) -> None:
    world = build(lab)
    start_page(world.office).wait_for_line("serving")
    for address in (world.office.ip, world.office.ip6):
        with pytest.raises(TimeoutError):
            world.web.connect(address, 80, timeout_s=0.2)


def test_hosts_know_each_other_by_name_and_have_no_interface_in_the_root_namespace(
    lab: Lab,
) -> None:
    before = set(Path("/sys/class/net").iterdir())
    world = build(lab)
    assert world.printer.run(["getent", "hosts", "web"]).split()[0] in (
        world.web.ip,
        world.web.ip6,
    )
    assert set(Path("/sys/class/net").iterdir()) == before


def test_a_capture_sorts_datagrams_by_kind(lab: Lab) -> None:
    world = build(lab)
    capture = world.home.capture("wan")
    payloads = {
        Kind.WIREGUARD_INITIATION: b"\x01\0\0\0" + bytes(144),
        Kind.WIREGUARD_RESPONSE: b"\x02\0\0\0" + bytes(88),
        Kind.WIREGUARD_COOKIE: b"\x03\0\0\0" + bytes(60),
        Kind.WIREGUARD_DATA: b"\x04\0\0\0" + bytes(28),
        Kind.DISCO: b"TS\xf0\x9f\x92\xac" + bytes(56),
        Kind.STUN: b"\0\x01\0\0\x21\x12\xa4\x42" + bytes(12),
        Kind.OTHER: b"hello",
    }
    with world.printer.udp(4000) as inside, world.printer.udp(4000, address="::") as inside6:
        for payload in payloads.values():
            inside.sendto(payload, (world.web.ip, 5000))
            inside6.sendto(payload, (world.web.ip6, 5000))
    seen = capture.stop()
    assert count(between(seen, world.home.ip, world.web.ip)) == dict.fromkeys(payloads, 1)
    assert count(between(seen, world.home.ip6, world.web.ip6)) == dict.fromkeys(payloads, 1)
    assert {d.kind for d in seen if d.kind.is_wireguard} == set(payloads) - {
        Kind.DISCO,
        Kind.STUN,
        Kind.OTHER,
    }


def test_each_host_has_its_own_wireguard_sockets(lab: Lab) -> None:
    world = build(lab)
    world.web.run(["touch", "/run/wireguard/wg0.sock"])
    assert world.web.run(["ls", "/var/run/wireguard"]).split() == ["wg0.sock"]
    assert world.office.run(["ls", "/var/run/wireguard"]) == ""


def test_a_command_that_fails_says_what_it_printed(lab: Lab) -> None:
    world = build(lab)
    with pytest.raises(LabError, match=r"web: sh -c .*: status 3: too bad"):
        world.web.run(["sh", "-c", "echo too bad >&2; exit 3"])


def test_the_lab_authority_is_trusted_by_name_and_by_address(lab: Lab, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.issue("web", "203.0.113.80")
    assert files.key.stat().st_mode & 0o777 == 0o600
    world = build(lab)
    server = [
        *("openssl", "s_server", "-accept", "443", "-www"),
        *("-cert", str(files.certificate), "-key", str(files.key)),
    ]
    world.web.start("tls", server).wait_for_line("ACCEPT")
    for name in ("web", world.web.ip):
        page = world.office.http_get(
            world.web.ip, port=443, trust=authority.context(), server_name=name
        )
        assert "TLSv1.3" in page


OWNER = """
import sys, time
from tests.netns.lab import Lab
lab = Lab(sys.argv[1])
lab.lan("lan", "10.0.0.0/24").host("victim", 2)
lab.build()
lab["victim"].start("sleeper", ["sh", "-c", "trap '' TERM; sleep 600 & sleep 600"])
print("built", flush=True)
time.sleep(600)
"""


def test_what_a_killed_run_left_is_found_and_removed(lab: Lab) -> None:
    name = f"{lab.name}killed"
    owner = subprocess.Popen([sys.executable, "-c", OWNER, name], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert owner.stdout.readline() == b"built\n"
    left = Lab(name)
    wait_until(lambda: len(pids(namespaces(left.prefix))) >= 2, 5, "both sleepers run")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    orphans = pids(namespaces(left.prefix))
    assert orphans
    left.clean()
    assert not namespaces(left.prefix)
    assert not list(Path("/etc").glob(f"netns/{left.prefix}*"))
    assert not [pid for pid in orphans if Path(f"/proc/{pid}/exe").exists()]


def test_cleaning_where_nothing_is_left_does_nothing() -> None:
    assert clean("lk-there-is-no-such-lab-") == []


def test_two_machines_of_one_name_and_names_too_long_are_refused() -> None:
    lab = Lab("refused")
    lan = lab.lan("lan", "10.0.0.0/24")
    lan.host("one", 2)
    with pytest.raises(LabError, match="already has a 'one'"):
        lan.host("one", 3)
    with pytest.raises(LabError, match="at most 15 characters"):
        lan.host("a-name-of-16-chr", 4)
