"""What a restart of the underlay must not lose, and the reference relay under it.

left ── left-router ──┬── internet ──┬── right-router ── right
10.1.0.2              │      vps     │               10.2.0.2
                      └── relay, STUN┘
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import pytest

from tests.netns.lab import PORT_RESTRICTED, SYMMETRIC, Lab, Nat
from tests.netns.topologies import TwoHomes, two_homes
from tests.support.peers import require_peer
from tests.support.underlaylab import PORT, REGION, LabNode, echo_server, start_derper, start_relay

pytestmark = pytest.mark.netns


class Pair:
    """Two nodes that know each other, and the world around them."""

    def __init__(self, world: TwoHomes, relays: dict[str, object]) -> None:
        self.world = world
        self.left, self.right = LabNode(world.left, 1, relays), LabNode(world.right, 2, relays)
        self.left.meets(self.right, f"{world.right.ip}:{PORT}")
        self.right.meets(self.left, f"{world.left.ip}:{PORT}")

    def start(self) -> None:
        for node in (self.left, self.right):
            node.start()
        for node in (self.left, self.right):
            node.wait_for_relay()


def started(lab: Lab, left_nat: Nat = PORT_RESTRICTED, right_nat: Nat = PORT_RESTRICTED) -> Pair:
    require_peer("wireguard-go")
    world = two_homes(lab, left_nat=left_nat, right_nat=right_nat)
    pair = Pair(world, start_relay(world.vps))
    pair.start()
    return pair


class Echo:
    """The right node answers what the left one sends every 50 ms through the tunnel."""

    def __init__(self, pair: Pair) -> None:
        self.server = echo_server(pair.right)
        self.client = pair.left.host.udp(address=pair.left.address)
        self.client.settimeout(0.05)
        self.to = (pair.right.address, 7)
        self.sent = self.received = 0
        self._stopped = False
        self._threads = [threading.Thread(target=f) for f in (self._serve, self._ask)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            thread.join()
        self.server.close()
        self.client.close()

    def wait_for_answers(self, count: int, timeout_s: float = 10) -> None:
        wanted, deadline = self.received + count, time.monotonic() + timeout_s
        while self.received < wanted:
            assert time.monotonic() < deadline, "the tunnel is silent"
            time.sleep(0.02)

    def _serve(self) -> None:
        self.server.settimeout(0.2)
        while not self._stopped:
            try:
                data, source = self.server.recvfrom(100)
                self.server.sendto(data, source)
            except (TimeoutError, OSError):
                continue

    def _ask(self) -> None:
        while not self._stopped:
            started_at = time.monotonic()
            try:
                self.client.sendto(b"?", self.to)
                self.sent += 1
                self.client.recv(100)
            except (TimeoutError, OSError):
                continue
            self.received += 1
            time.sleep(max(0.0, 0.05 - (time.monotonic() - started_at)))


def test_an_agent_that_is_killed_and_comes_back_finds_everything_as_it_was(lab: Lab) -> None:
    pair = started(lab)
    with Echo(pair) as echo:
        pair.left.wait_for_path(pair.right, "direct")
        pair.right.wait_for_path(pair.left, "direct")
        echo.wait_for_answers(20)
        pair.left.ports = pair.left.ask("ports")
        pair.left.kill()
        echo.wait_for_answers(20)  # the device goes on by itself
        pair.left.start()
        pair.left.wait_for_path(pair.right, "direct", 3)
        echo.wait_for_answers(20)
        assert pair.left.ask("ports") == pair.left.ports


def test_an_agent_that_comes_back_goes_on_relaying_to_the_same_ports(lab: Lab) -> None:
    pair = started(lab, SYMMETRIC, SYMMETRIC)
    with Echo(pair) as echo:
        echo.wait_for_answers(20)
        pair.left.ports = pair.left.ask("ports")
        pair.left.kill()
        pair.left.start()
        echo.wait_for_answers(20)
        assert pair.left.ask("ports") == pair.left.ports


def test_the_reference_relay_carries_us_as_well(lab: Lab) -> None:
    require_peer("wireguard-go")
    world = two_homes(lab, left_nat=SYMMETRIC, right_nat=SYMMETRIC)
    pair = Pair(world, start_derper(world.vps))
    pair.start()
    with Echo(pair) as echo:
        echo.wait_for_answers(40)
        answer = pair.left.ask("ping", peer="right")
        assert answer["path"] == f"relay {REGION}"


def direct_answer(node: LabNode, peer: str) -> str | None:
    path = node.ask("ping", peer=peer)["path"]
    return path if path and path.startswith("direct") else None


def eventually(look: Callable[[], str | None], timeout_s: float = 10) -> str | None:
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
