"""Nothing of a client with an exit node leaves in the clear, whatever happens to it.

 laptop ── hostel ────┬──────────── home ── appliance (exit node)
    └─ recorded here  vps, web, dns

The laptop talks all the time, by IPv4, IPv6 and DNS, and its DHCP client renews a short lease. On
its cable there are only WireGuard, DISCO, STUN, TLS to the coordinator and relay, and ARP,
neighbour discovery and DHCP. `make test` plays each mishap once; `make test-leak` goes on for ten
minutes (LATCHKEY_LEAK_S).
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.frames import Sort
from tests.netns.lab.namespaces import pids, tool
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.support.dhcp import serve, why_no_dhcp
from tests.support.gatewaylab import (
    SOON_S,
    TUNNEL,
    Mesh,
    gateway_lab,
    leads_into_tunnel,
    start_mesh,
)
from tests.support.leaks import UPLINK, Cable, Watch, now, watching
from tests.support.mesh import AgentNode

LEAK_S: Final = float(os.environ.get("LATCHKEY_LEAK_S", "0"))
"""How long to go on with mishaps, at least; each is played once in any case."""
AGAIN_S: Final = 30.0  # until the internet is reached again after a mishap
MOMENT_S: Final = 1.0  # ten rounds of the laptop's talk

pytestmark = [pytest.mark.netns, pytest.mark.timeout(300 + 2 * LEAK_S)]


@dataclass
class World:
    """A laptop that uses an exit node, and talks."""

    places: Journey
    mesh: Mesh
    watch: Watch
    cable: Cable

    @property
    def laptop(self) -> AgentNode:
        """Its agent."""
        return self.mesh["laptop"]

    def talk(self, seconds: float = MOMENT_S) -> None:
        """Let the laptop go on for a moment, whether it reaches anything or not."""
        self.cable.lease.ask()
        time.sleep(seconds)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if reason := why_no_dhcp():
        pytest.skip(reason)
    with gateway_lab() as lab:
        places = journey(lab)
        serve(places.hostel, places.laptop)
        # A router that answers ARP for everybody lets out whoever is bound to the interface.
        places.hostel.set_sysctl("net.ipv4.conf.lan.proxy_arp", "1")
        mesh = start_mesh(places.vps)
        mesh.join(places.appliance, "--advertise-exit-node")
        mesh.coordinator.approve("appliance", "exit")
        mesh.join(places.laptop)
        start_page(places.web).wait_for_line("serving")
        cable = Cable(places.laptop)
        cable.unplug()
        cable.forget()
        cable.plug()
        cable.lease.wait()
        with watching(places) as watch:
            yield World(places, mesh, watch, cable)


def test_without_an_exit_node_everything_leaves_in_the_clear(world: World) -> None:
    """The probe works: every kind of talk is found on the cable, and reaches the web."""
    began = now()
    world.watch.wait_for_talk(SOON_S)
    web, dns = world.places.web, world.places.resolver
    kinds = {
        (f.sort, f.destination, f.destination_port) for f in world.watch.sent() if f.time_s > began
    }
    for address, resolver in ((web.ip, dns.ip), (web.ip6, dns.ip6)):
        assert (Sort.UDP, address, 9999) in kinds
        assert (Sort.TCP, address, 80) in kinds
        assert (Sort.UDP, resolver, 53) in kinds
        assert (Sort.OTHER, address, 0) in kinds, "echo requests"
    assert (Sort.UDP, world.places.hostel.inside_ip, 53) in kinds, "DNS to the LAN's router"
    assert world.watch.leaks(began)


def carry_on(world: World) -> None:
    """Nothing happens, for once."""
    world.talk()


def pull_the_plug(world: World) -> None:
    """The switch loses power: no carrier, but addresses and routes stay."""
    wire = world.places.lab.find("hostel-lan").wire().namespace
    for state in ("down", "up"):
        tool(["ip", "-n", wire, "link", "set", "laptop", state])
        world.talk()


def lose_the_interface(world: World) -> None:
    """Down, without addresses, and up again as after a new lease."""
    world.cable.unplug()
    world.cable.forget()
    world.talk()
    world.cable.plug()


def flap_fast(world: World) -> None:
    """Some quick changes in a row: plans are made while the next change comes."""
    for _ in range(4):
        world.cable.unplug()
        world.talk(0.15)
        world.cable.plug()
        world.talk(0.15)


def kill_the_agent(world: World) -> None:
    """kill -9, and a service manager that starts it again; the lease is renewed without it."""
    assert world.laptop.daemon is not None
    world.laptop.daemon.kill()
    world.cable.lease.wait_for_more()
    world.talk()
    world.laptop.start()


def restart_the_agent(world: World) -> None:
    """systemctl restart: a goodbye that is not the owner's."""
    assert world.laptop.daemon is not None
    world.laptop.daemon.stop()
    world.talk()
    world.laptop.start()


def kill_wireguard(world: World) -> None:
    """The device vanishes with its program, or is removed where the kernel has WireGuard."""
    programs = programs_of(world, "wireguard-go")
    for pid in programs:
        os.kill(pid, 9)
    if not programs:
        world.places.laptop.run(["ip", "link", "delete", TUNNEL])


def programs_of(world: World, name: str) -> list[int]:
    found = []
    for pid in pids([world.places.laptop.namespace]):
        with open(f"/proc/{pid}/comm", encoding="ascii") as comm:  # noqa: PTH123
            if comm.read().strip() == name:
                found.append(pid)
    return found


def lose_the_coordinator(world: World) -> None:
    """Coordinator and relay are gone for a moment, and the agent is killed meanwhile."""
    program = world.mesh.coordinator.program
    assert program is not None
    program.kill()
    kill_the_agent(world)
    world.talk()
    world.mesh.coordinator.start()


def lose_the_exit_node(world: World) -> None:
    """Home's line is dead for a moment: the laptop waits for it."""
    world.places.home.block("meta l4proto { tcp, udp, icmp, icmpv6 }")
    world.talk()
    world.cable.lease.wait_for_more()
    world.places.home.unblock()


def lose_the_routes(world: World) -> None:
    """A network manager that knows nothing of us tidies up."""
    for family in ("-4", "-6"):
        world.places.laptop.run(["ip", family, "route", "flush", "table", "5170"])


def boot_agent_first(world: World) -> None:
    """The agent is there before the network: the block is in place for the first packet."""
    power_off(world)
    world.laptop.start()
    world.talk()
    world.cable.plug()


def power_off(world: World) -> None:
    """Everything that a reboot takes; what the agent wrote to disk stays."""
    laptop = world.places.laptop
    assert world.laptop.daemon is not None
    world.laptop.daemon.kill()
    world.cable.unplug()
    world.cable.forget()
    for pid in programs_of(world, "wireguard-go"):
        os.kill(pid, 9)
    laptop.try_run(["ip", "link", "delete", TUNNEL])
    laptop.run(["nft", "flush", "ruleset"])
    for family in ("-4", "-6"):
        laptop.try_run(["ip", family, "route", "flush", "table", "5170"])
        for priority in ("5110", "5130", "5150", "5170"):
            laptop.try_run(["ip", family, "rule", "delete", "priority", priority])


def boot_network_first(world: World) -> float:
    """The network is there before the agent: nothing leaks from the moment that it is ready."""
    power_off(world)
    world.cable.plug()
    world.cable.lease.wait()
    # What was sent before may still wait for an answer to ARP: it does not count.
    world.places.laptop.run(["ip", "neighbour", "flush", "dev", UPLINK])
    world.talk()
    path = world.places.laptop.socket_path("notify.sock")
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(SOON_S)
        world.laptop.extra_env["NOTIFY_SOCKET"] = str(path)
        world.laptop.start()
        del world.laptop.extra_env["NOTIFY_SOCKET"]
        assert b"READY=1" in manager.recv(100)
    return now()


Mishap = Callable[[World], float | None]
"""What happens; returns the moment from which nothing may leak, if that is not the beginning."""


MISHAPS: Final[tuple[Mishap, ...]] = (
    carry_on,
    pull_the_plug,
    lose_the_interface,
    flap_fast,
    kill_the_agent,
    restart_the_agent,
    kill_wireguard,
    lose_the_coordinator,
    lose_the_exit_node,
    lose_the_routes,
    boot_agent_first,
    boot_network_first,
)


@pytest.fixture
def guarded(world: World) -> World:
    """The exit node is in use, and the internet is reached through it."""
    world.laptop.set("--exit-node=appliance")
    addresses = (world.places.web.ip, world.places.web.ip6)
    wait_until(
        lambda: all(leads_into_tunnel(world.places.laptop, a) for a in addresses), SOON_S, "exit"
    )
    world.watch.wait_for_talk(SOON_S)
    return world


def play(world: World, mishap: Mishap) -> list[str]:
    """Let one thing happen; what leaked until the internet was reached again.

    The lease is prolonged meanwhile: a block that stops DHCP takes the machine off the network.
    """
    began = now()
    began = mishap(world) or began
    world.watch.wait_for_talk(AGAIN_S)
    world.cable.lease.wait_for_more()
    assert world.watch.sorts(began)[Sort.DHCP]
    counted = ", ".join(f"{n} {s.value}" for s, n in world.watch.sorts(began).items())
    print(f"{mishap.__name__}: {now() - began:.1f} s, {counted}")
    return world.watch.leaks(began)


@pytest.mark.parametrize("mishap", MISHAPS, ids=lambda mishap: mishap.__name__)
def test_nothing_leaks(guarded: World, mishap: Mishap) -> None:
    assert play(guarded, mishap) == []


@pytest.mark.skipif(not LEAK_S, reason="ten minutes of test_leak.py are `make test-leak`")
def test_nothing_leaks_for_minutes(guarded: World) -> None:
    """One mishap after the other, in another order each time."""
    chance = random.Random(1)
    deadline = time.monotonic() + LEAK_S
    while time.monotonic() < deadline:
        for mishap in chance.sample(MISHAPS, len(MISHAPS)):
            assert play(guarded, mishap) == [], mishap.__name__
