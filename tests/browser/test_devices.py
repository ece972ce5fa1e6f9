"""Devices that ask to be let in without a key, as phones do: the stock client logs in by link."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.lab import Host, Program
from tests.support.browser import NARROW, Visit
from tests.support.house import House, claim_box, found_mesh, offer_networks
from tests.support.mesh import NetstackNode
from tests.support.peers import require_peer
from tests.support.setuppages import DevicesPage

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]


class Visitor(NetstackNode):
    """A stock client that knows the box's address only."""

    def ask(self) -> Program:
        """Log in; the program ends when somebody has let the device in."""
        self.start()
        command = [*self.cli(), "up", f"--login-server={self.join.url}", "--accept-dns=false"]
        return self.host.start("up", [*command, f"--hostname={self.host.name}"])


@pytest.fixture(scope="module")
def owner(house: House) -> Iterator[Visit]:
    """The owner's window on a box that is set up."""
    with house.visit(width=NARROW) as window:
        claim_box(house, window)
        found_mesh(window)
        offer_networks(window)
        yield window


def _visitor(house: House, host: Host) -> Visitor:
    require_peer("tailscale")
    return Visitor(host, house.join_with("unused"), require_peer("tailscaled").parent)


def test_whoever_asks_is_shown_by_itself_and_can_be_turned_away(house: House, owner: Visit) -> None:
    visitor = _visitor(house, house.home.phone)
    devices = DevicesPage(owner)
    devices.open()
    asking = visitor.ask()
    devices.wait_for_visitor("phone")
    assert owner.shoot("devices-waiting") == []
    devices.turn_away("phone")
    assert asking.wait(20) != 0
    assert "turned this device away" in asking.text()
    assert not house.knows("phone")


def test_whoever_is_let_in_is_in_the_mesh(house: House, owner: Visit) -> None:
    visitor = _visitor(house, house.home.laptop)
    devices = DevicesPage(owner)
    devices.open()
    asking = visitor.ask()
    devices.wait_for_visitor("laptop")
    devices.let_in("laptop")
    owner.page.get_by_role("heading", name="laptop has joined").wait_for()
    assert asking.wait(20) == 0
    assert visitor.ip.startswith("100.")
    assert house.knows("laptop")
    assert owner.shoot("device-welcome") == []
    assert owner.strangers() == []
    assert owner.complaints == []
