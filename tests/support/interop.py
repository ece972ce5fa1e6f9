"""One world for all interop tests of a module: coordinator, and nodes that join as they are asked.

laptop ─┐                  internet                   ┌── appliance
phone  ─┴── hostel router ────┬──── home router ──────┴── printer
                             vps (coordinator + relay), web
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.netns.lab import LabError, Router, wait_until
from tests.netns.lab.web import start_page
from tests.netns.topologies import HomeAndHostel, home_and_hostel
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import AgentNode, NetstackNode, Node, StockNode
from tests.support.peers import require_peer
from tests.support.wireguard import why_no_wireguard


@dataclass(slots=True)
class Interop:
    """The world, its coordinator, and the nodes that have joined so far."""

    world: HomeAndHostel
    coordinator: Coordinator
    _nodes: dict[str, Node] = field(default_factory=dict)

    def stock(self, name: str, *flags: str) -> StockNode:
        """tailscaled on this host, joined with these flags the first time."""
        require_peer("tailscale")
        programs = require_peer("tailscaled").parent
        node = self._nodes.get(name)
        if node is None:
            key = self.coordinator.new_key("family")
            node = StockNode(self.world.lab[name], key, programs)
            node.up(*flags)
            self._nodes[name] = node
        assert isinstance(node, StockNode)
        return node

    def netstack(self, name: str, *flags: str) -> NetstackNode:
        """tailscaled without a TUN device on this host, joined with these flags the first time."""
        require_peer("tailscale")
        programs = require_peer("tailscaled").parent
        node = self._nodes.get(name)
        if node is None:
            key = self.coordinator.new_key("family")
            node = NetstackNode(self.world.lab[name], key, programs)
            node.up(*flags)
            self._nodes[name] = node
        assert isinstance(node, NetstackNode)
        return node

    def agent(self, name: str, *flags: str) -> AgentNode:
        """Our agent on this host, joined with these flags the first time."""
        reason = why_no_wireguard()
        if reason:
            pytest.skip(reason)
        node = self._nodes.get(name)
        if node is None:
            node = AgentNode(self.world.lab[name], self.coordinator.new_key("family"))
            node.up(*flags)
            self._nodes[name] = node
        assert isinstance(node, AgentNode)
        return node

    def home_gateway(self) -> AgentNode:
        """Our agent as subnet router and exit node at home, approved."""
        appliance = self.agent(
            "appliance", "--advertise-routes=192.168.1.0/24", "--advertise-exit-node"
        )
        self.coordinator.approve("appliance", "192.168.1.0/24", "0.0.0.0/0", "::/0")
        return appliance


@contextmanager
def open_world(*, separate_relay: bool = False) -> Iterator[Interop]:
    """A new world with the pages up and the coordinator running."""
    reason = why_no_lab()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        world = home_and_hostel(lab)
        for host in (world.printer, world.camera, world.web):
            start_page(host).wait_for_line("serving")
        coordinator = Coordinator(world.vps, separate_relay=separate_relay)
        coordinator.start()
        coordinator.new_user("family")
        yield Interop(world, coordinator)


@pytest.fixture(scope="module")
def interop() -> Iterator[Interop]:
    """The module's world."""
    with open_world() as world:
        yield world


@contextmanager
def udp_blocked(router: Router) -> Iterator[None]:
    """No UDP through this router for a while."""
    router.block()
    try:
        yield
    finally:
        router.unblock()


def page(node: Node, address: str, timeout_s: float = 20) -> str:
    """The page of an address, as soon as it loads on this node's host."""

    def load() -> str:
        try:
            return node.host.http_get(address, timeout_s=1)
        except (OSError, LabError):
            return ""

    return wait_until(load, timeout_s, f"{node.host.name} loads the page of {address}")
