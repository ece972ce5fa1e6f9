"""An exit node without IPv6 blocks its clients' IPv6: never leaked, quickly refused, and said.

   10.77.0.0/24, 2001:db8:77::/64  internet          192.168.7.0/24
 laptop ── hostel ────┬──────────────────────── cabin ──── stove (exit node)
    └─ recorded here  vps, web

The hostel gives the laptop a global IPv6 address, and the way out would be open.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.web import start_page
from tests.netns.topologies import Journey, journey
from tests.support.gatewaylab import (
    SOON_S,
    Mesh,
    gateway_lab,
    page,
    seen,
    start_mesh,
    wait_for_page,
)
from tests.support.leaks import Watch, now, watching

pytestmark = pytest.mark.netns

ENOUGH = 15  # connections by IPv4, while as many are tried by IPv6


@dataclass
class World:
    """The laptop leaves through the cabin, and talks."""

    places: Journey
    mesh: Mesh
    watch: Watch


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with gateway_lab() as lab:
        places = journey(lab)
        mesh = start_mesh(places.vps)
        mesh.join(places.stove, "--advertise-exit-node")
        mesh.coordinator.approve("stove", "exit")
        mesh.join(places.laptop)
        start_page(places.web).wait_for_line("serving")
        with watching(places) as watch:
            assert seen(places.laptop, places.web.ip6) == places.laptop.ip6, "IPv6 is there"
            mesh["laptop"].set("--exit-node=stove")
            cabin = places.cabin.ip
            wait_until(lambda: seen(places.laptop, places.web.ip) == cabin, SOON_S, "exit")
            yield World(places, mesh, watch)


def test_no_ipv6_packet_leaves_while_ipv4_goes_through_the_exit_node(world: World) -> None:
    began = now()
    v4, v6 = world.watch.reported()
    wait_until(lambda: world.watch.connected()[0] > v4 + ENOUGH, SOON_S, "IPv4 works")
    assert world.watch.connected()[1] == v6
    assert world.watch.leaks(began) == []
    assert not page(world.places.laptop, world.places.web.ip6)


def test_a_connection_by_ipv6_fails_at_once(world: World) -> None:
    """A browser tries IPv4 then; a time-out would cost it seconds for each page."""
    laptop, web = world.places.laptop, world.places.web
    assert page(laptop, web.ip)
    began = time.monotonic()
    with pytest.raises(OSError, match=r"unreachable|refused|not permitted|No route") as refusal:
        laptop.connect(web.ip6, 80, timeout_s=SOON_S)
    assert not isinstance(refusal.value, socket.timeout)
    print(f"refused {time.monotonic() - began:.3f} s after the first packet: {refusal.value}")


def test_both_ends_say_so(world: World) -> None:
    """To a laptop that is quiet: a kernel sends one "unreachable" a second, and no more."""
    world.watch.chatter.stop()

    def said(name: str) -> list[str]:
        return [text for text in world.mesh.status(name).health if "IPv6" in text]

    for name in ("laptop", "stove"):
        wait_until(lambda name=name: said(name), 2 * SOON_S, f"{name} says that there is no IPv6")


def test_without_the_exit_node_ipv6_is_back(world: World) -> None:
    laptop, web = world.places.laptop, world.places.web
    world.mesh["laptop"].set("--exit-node=")
    assert wait_for_page(laptop, web.ip6) == laptop.ip6
    health = world.mesh.status("laptop").health
    assert not [text for text in health if "IPv6" in text]
