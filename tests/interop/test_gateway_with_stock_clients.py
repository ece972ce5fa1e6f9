"""Stock clients reach through our gateway what the policy allows, and leave through it.

laptop (tailscaled, TUN)      ─┐                                  ┌── appliance (our agent)
phone  (tailscaled, netstack) ─┴─ hostel ──┬── internet ──┬── home ┼── printer (80 and 8080)
                                          vps, web                └── camera
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.ear import listening
from tests.netns.lab.web import client_seen, start_page
from tests.support import gatewaylab
from tests.support.gatewaylab import accept
from tests.support.interop import Interop, open_world
from tests.support.mesh import NetstackNode, Node

pytestmark = pytest.mark.interop

SOON_S = 20.0
OTHER_PORT = 8080
POLICY: Final[dict[str, Any]] = {
    "acls": [
        accept(["family@"], "100.64.0.0/10:*", "[fd7a:115c:a1e0::]/48:*"),
        accept(["family@"], "192.168.1.20:80", "autogroup:internet:*"),
    ]
}
HOSTS: Final = {"TUN": "laptop", "netstack": "phone"}


@dataclass
class World:
    """Our gateway at home and both kinds of client."""

    interop: Interop
    clients: dict[str, Node]

    def page(self, kind: str, address: str, port: int = 80) -> str:
        """The page at an address as this client gets it; empty when it does not."""
        node = self.clients[kind]
        if isinstance(node, NetstackNode):
            return node.page(address, port)
        return gatewaylab.page(node.host, address, port, timeout_s=1)

    def seen(self, kind: str, address: str, port: int = 80) -> str:
        """Whom the page takes this client for."""
        return client_seen(self.page(kind, address, port))


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_world() as interop:
        start_page(interop.world.printer, OTHER_PORT).wait_for_line("serving")
        interop.coordinator.set_policy(POLICY)
        interop.home_gateway()
        clients: dict[str, Node] = {
            "TUN": interop.stock("laptop", "--accept-routes"),
            "netstack": interop.netstack("phone", "--accept-routes"),
        }
        yield World(interop, clients)


both_kinds = pytest.mark.parametrize("kind", ["TUN", "netstack"])


@both_kinds
def test_it_reaches_behind_our_router_what_the_policy_allows(world: World, kind: str) -> None:
    printer, appliance = world.interop.world.printer, world.interop.world.appliance
    wait_until(lambda: world.page(kind, printer.ip), SOON_S, "the printer's page")
    assert world.seen(kind, printer.ip) == appliance.ip


@both_kinds
@pytest.mark.parametrize(("host", "port"), [("printer", OTHER_PORT), ("camera", 80)])
def test_it_reaches_nothing_else_there(world: World, kind: str, host: str, port: int) -> None:
    """Not even its packets get there; and they do once a rule lets them."""
    target = world.interop.world.lab[host]
    with listening(target, "eth0", f"tcp dst port {port}") as heard:
        assert not world.page(kind, target.ip, port)
        assert heard.heard() == []
        more = accept(["family@"], f"{target.ip}:{port}")
        world.interop.coordinator.set_policy({"acls": [*POLICY["acls"], more]})
        try:
            wait_until(lambda: world.page(kind, target.ip, port), SOON_S, "the page is allowed")
            assert heard.heard()
        finally:
            world.interop.coordinator.set_policy(POLICY)
        wait_until(lambda: not world.page(kind, target.ip, port), SOON_S, "the rule is revoked")


@both_kinds
def test_it_leaves_through_our_exit_node_by_both_families(world: World, kind: str) -> None:
    places, node = world.interop.world, world.clients[kind]
    assert world.seen(kind, places.web.ip) in (places.hostel.ip, "")
    node.wait_for_peer("appliance")
    node.set("--exit-node=appliance")
    try:
        reached: Callable[[], bool] = lambda: world.seen(kind, places.web.ip) == places.home.ip  # noqa: E731
        wait_until(reached, SOON_S, "IPv4 leaves from home")
        wait_until(lambda: world.page(kind, places.web.ip6), SOON_S, "IPv6 too")
        assert world.seen(kind, places.web.ip6) == places.home.ip6
        assert world.page(kind, places.printer.ip), "the subnet route goes on working"
        assert not world.page(kind, places.camera.ip), "an exit node gives no more of the LAN"
    finally:
        node.set("--exit-node=")
