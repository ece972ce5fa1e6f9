"""Each kind of NAT router behaves as its name says.

    laptop ── router ──┬── one   (two addresses: .11 and .12)
                       └── other

The laptop sends from one UDP socket; the outside hosts see its mapping and try to answer.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

import pytest

from tests.netns.lab import (
    ADDRESS_SYMMETRIC,
    FULL_CONE,
    PORT_RESTRICTED,
    RESTRICTED_CONE,
    SYMMETRIC,
    Host,
    Lab,
    Nat,
    Router,
)

pytestmark = pytest.mark.netns


@dataclass(frozen=True, slots=True)
class World:
    """The topology of this module."""

    laptop: Host
    router: Router
    one: Host
    other: Host


def build(lab: Lab, nat: Nat) -> World:
    isp = lab.public("isp", "198.51.100.0/24")
    outside = lab.public("outside", "203.0.113.0/24")
    inside = lab.lan("inside", "10.77.0.0/24")
    world = World(
        router=lab.router("router", outside=isp, number=2, inside=inside, nat=nat),
        laptop=inside.host("laptop", 21),
        one=outside.host("one", 11),
        other=outside.host("other", 12),
    )
    lab.build()
    return world


def seen_at(sender: socket.socket, receiver: socket.socket, address: str) -> tuple[str, int]:
    """Send one datagram; returns the source address that the receiver sees."""
    sender.sendto(b"hello", (address, receiver.getsockname()[1]))
    source: tuple[str, int] = receiver.recvfrom(100)[1]
    return source


def arrives(receiver: socket.socket) -> bool:
    receiver.settimeout(0.2)
    try:
        receiver.recv(100)
    except TimeoutError:
        return False
    return True


MAPPINGS = {
    "full cone": (FULL_CONE, True, True),
    "restricted cone": (RESTRICTED_CONE, True, True),
    "port restricted": (PORT_RESTRICTED, True, True),
    "address symmetric": (ADDRESS_SYMMETRIC, True, False),
    "symmetric": (SYMMETRIC, False, False),
}


@pytest.mark.parametrize(
    ("nat", "same_for_ports", "same_for_addresses"), MAPPINGS.values(), ids=MAPPINGS
)
def test_the_mapping_depends_on_what_the_kind_says(
    lab: Lab, nat: Nat, same_for_ports: bool, same_for_addresses: bool
) -> None:
    world = build(lab, nat)
    with (
        world.laptop.udp(4000) as inside,
        world.one.udp(5001) as first,
        world.one.udp(5002) as second,
        world.other.udp(5001) as third,
    ):
        mapping = seen_at(inside, first, world.one.ip)
        to_other_port = seen_at(inside, second, world.one.ip)
        to_other_address = seen_at(inside, third, world.other.ip)
    assert mapping[0] == world.router.ip
    assert (to_other_port == mapping) is same_for_ports
    assert (to_other_address == mapping) is same_for_addresses


FILTERS = {
    "full cone": (FULL_CONE, True, True),
    "restricted cone": (RESTRICTED_CONE, True, False),
    "port restricted": (PORT_RESTRICTED, False, False),
    "address symmetric": (ADDRESS_SYMMETRIC, False, False),
    "symmetric": (SYMMETRIC, False, False),
}


@pytest.mark.parametrize(("nat", "other_port", "other_address"), FILTERS.values(), ids=FILTERS)
def test_the_filter_lets_in_whom_the_kind_says(
    lab: Lab, nat: Nat, other_port: bool, other_address: bool
) -> None:
    world = build(lab, nat)
    with (
        world.laptop.udp(4000) as inside,
        world.one.udp(5001) as first,
        world.one.udp(5002) as second,
        world.other.udp(5001) as third,
    ):
        mapping = seen_at(inside, first, world.one.ip)
        first.sendto(b"answer", mapping)
        assert arrives(inside)
        second.sendto(b"from another port", mapping)
        assert arrives(inside) is other_port
        third.sendto(b"from another address", mapping)
        assert arrives(inside) is other_address


@pytest.mark.parametrize("nat", [PORT_RESTRICTED, SYMMETRIC, FULL_CONE])
def test_what_nobody_asked_for_is_dropped_without_an_answer(lab: Lab, nat: Nat) -> None:
    world = build(lab, nat)
    with world.other.udp() as stranger:
        stranger.connect((world.router.ip, 4000))
        stranger.send(b"let me in")
        with pytest.raises(TimeoutError):  # an ICMP answer would be ConnectionRefusedError
            stranger.recv(100)
    with pytest.raises(TimeoutError):
        world.other.connect(world.router.ip, 22, timeout_s=0.3)


def test_an_early_ping_from_outside_does_not_harden_an_easy_nat(lab: Lab) -> None:
    world = build(lab, PORT_RESTRICTED)
    with world.laptop.udp(4000) as inside, world.one.udp(5001) as first:
        first.sendto(b"too early", (world.router.ip, 4000))
        assert seen_at(inside, first, world.one.ip) == (world.router.ip, 4000)


def test_blocked_udp_stops_at_once_and_comes_back(lab: Lab) -> None:
    world = build(lab, PORT_RESTRICTED)
    with world.laptop.udp(4000) as inside, world.one.udp(5001) as first:
        seen_at(inside, first, world.one.ip)
        world.router.block()
        inside.sendto(b"blocked", (world.one.ip, 5001))
        assert not arrives(first)
        world.router.unblock()
        inside.sendto(b"free", (world.one.ip, 5001))
        assert arrives(first)
