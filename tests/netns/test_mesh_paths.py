"""Two of our agents find the path that their NATs allow, and keep it.

left ── left router ──┬── internet ──┬── right router ── right
                     vps (coordinator + relay)
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.netns.lab import (
    FULL_CONE,
    PORT_RESTRICTED,
    RESTRICTED_CONE,
    SYMMETRIC,
    Kind,
    Lab,
    LabError,
    Nat,
    between,
    count,
    wait_until,
)
from tests.netns.lab.web import client_seen, start_page
from tests.netns.topologies import TwoHomes, two_homes
from tests.support.coordinator import RELAY, Coordinator
from tests.support.mesh import AgentNode
from tests.support.wireguard import why_no_wireguard

pytestmark = pytest.mark.netns

_FOUND_S = 10.0
_NOT_FOUND_S = 3.0  # a path that can be found is found well within a second


@dataclass(frozen=True, slots=True)
class Pair:
    """Two joined agents and their world; a page runs on the right one."""

    world: TwoHomes
    left: AgentNode
    right: AgentNode

    def page(self) -> str:
        try:
            return self.left.host.http_get(self.right.ip, timeout_s=1)
        except (OSError, LabError):
            return ""

    def direct(self) -> str:
        self.page()
        return self.left.direct_address("right")

    def load(self) -> None:
        assert client_seen(wait_until(self.page, 20, "the page loads")) == self.left.ip


def join(lab: Lab, left_nat: Nat, right_nat: Nat) -> Pair:
    reason = why_no_wireguard()
    if reason:
        pytest.skip(reason)
    world = two_homes(lab, left_nat=left_nat, right_nat=right_nat)
    coordinator = Coordinator(world.vps)
    coordinator.start()
    coordinator.new_user("family")
    key = coordinator.new_key("family", "--reusable")
    left, right = AgentNode(world.left, key), AgentNode(world.right, key)
    left.up()
    right.up()
    start_page(right.host).wait_for_line("serving")
    left.wait_for_peer("right")
    return Pair(world, left, right)


@pytest.mark.parametrize(
    ("left_nat", "right_nat"),
    [
        pytest.param(PORT_RESTRICTED, PORT_RESTRICTED, id="easy, easy"),
        pytest.param(FULL_CONE, SYMMETRIC, id="full cone, hard"),
        pytest.param(SYMMETRIC, RESTRICTED_CONE, id="hard, restricted cone"),
    ],
)
def test_nats_that_can_be_crossed_are_crossed(lab: Lab, left_nat: Nat, right_nat: Nat) -> None:
    pair = join(lab, left_nat, right_nat)
    pair.load()
    address = wait_until(pair.direct, _FOUND_S, "the path is direct")
    assert address.startswith(f"{pair.world.right_router.ip}:")


def test_where_nats_cannot_be_crossed_the_relay_carries_everything(lab: Lab) -> None:
    pair = join(lab, PORT_RESTRICTED, SYMMETRIC)
    pair.load()
    with pytest.raises(LabError):
        wait_until(pair.direct, _NOT_FOUND_S, "the path is direct")
    pair.load()
    assert pair.left.peer("right")["Relay"] == RELAY


def test_a_direct_path_carries_only_wireguard_and_disco(lab: Lab) -> None:
    pair = join(lab, PORT_RESTRICTED, PORT_RESTRICTED)
    routers = pair.world.left_router.ip, pair.world.right_router.ip
    capture = pair.world.left_router.capture("wan", f"host {routers[1]}")
    wait_until(pair.direct, _FOUND_S, "the path is direct")
    for _ in range(10):
        pair.load()
    seen = count(between(capture.stop(), *routers))
    assert seen[Kind.WIREGUARD_DATA] >= 20
    assert seen[Kind.DISCO] > 0
    assert {kind for kind in seen if not kind.is_wireguard} == {Kind.DISCO}


def test_the_mesh_survives_udp_that_dies_and_comes_back(lab: Lab) -> None:
    pair = join(lab, PORT_RESTRICTED, PORT_RESTRICTED)
    wait_until(pair.direct, _FOUND_S, "the path is direct")
    pair.world.left_router.block()
    pair.load()
    assert not pair.left.direct_address("right")
    pair.world.left_router.unblock()
    wait_until(pair.direct, 20, "the path is direct again")


def test_an_agent_killed_in_the_middle_comes_back_to_the_same_mesh(lab: Lab) -> None:
    pair = join(lab, PORT_RESTRICTED, PORT_RESTRICTED)
    pair.load()
    address = pair.left.ip
    assert pair.left.daemon is not None
    pair.left.daemon.kill()
    pair.left.start()
    pair.load()
    assert pair.left.ip == address
    wait_until(pair.direct, 20, "the path is direct again")


def test_the_mesh_works_without_its_coordinator_after_a_restart(lab: Lab) -> None:
    pair = join(lab, PORT_RESTRICTED, PORT_RESTRICTED)
    wait_until(pair.direct, _FOUND_S, "the path is direct")
    pair.world.vps.block("tcp dport 443")
    assert pair.left.daemon is not None
    pair.left.daemon.stop()
    pair.left.start()
    pair.load()
