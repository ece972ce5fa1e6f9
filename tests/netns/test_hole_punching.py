"""Two hosts behind NATs meet by simultaneous sending exactly where theory says so.

    left ── left router ──┬── vps ──┬── right router ── right

Each learns its mapping from the vps, then both send to the other's mapping, and answer to the
source of whatever arrives (as a DISCO ping is answered).
"""

from __future__ import annotations

import socket

import pytest

from tests.netns.lab import (
    ADDRESS_SYMMETRIC,
    FULL_CONE,
    PORT_RESTRICTED,
    RESTRICTED_CONE,
    SYMMETRIC,
    Lab,
    Nat,
)
from tests.netns.topologies import two_homes

pytestmark = pytest.mark.netns

PAIRS = {
    "easy, easy": (PORT_RESTRICTED, PORT_RESTRICTED, True),
    "full cone, hard": (FULL_CONE, SYMMETRIC, True),
    "restricted cone, hard": (RESTRICTED_CONE, SYMMETRIC, True),
    "easy, hard": (PORT_RESTRICTED, SYMMETRIC, False),
    "easy, address symmetric": (PORT_RESTRICTED, ADDRESS_SYMMETRIC, False),
    "hard, hard": (SYMMETRIC, SYMMETRIC, False),
}


@pytest.mark.parametrize(("one", "other", "meet"), PAIRS.values(), ids=PAIRS)
def test_two_nats_meet_where_theory_says(lab: Lab, one: Nat, other: Nat, meet: bool) -> None:
    world = two_homes(lab, left_nat=one, right_nat=other)
    with world.left.udp(4000) as left, world.right.udp(4000) as right, world.vps.udp(3478) as vps:
        for sender in (left, right):
            sender.sendto(b"where am I?", (world.vps.ip, 3478))
        mappings = {address[0]: address for address in (vps.recvfrom(100)[1] for _ in range(2))}
        for _ in range(2):
            left.sendto(b"ping", mappings[world.right_router.ip])
            right.sendto(b"ping", mappings[world.left_router.ip])
        assert (answered(left, right) or answered(right, left)) is meet


def answered(one: socket.socket, other: socket.socket) -> bool:
    """Whether something reached `one`, and its answer reached the other."""
    one.settimeout(0.2)
    other.settimeout(0.2)
    try:
        source = one.recvfrom(100)[1]
        one.sendto(b"pong", source)
        while other.recv(100) != b"pong":
            pass
    except TimeoutError:
        return False
    return True
