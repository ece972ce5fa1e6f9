"""Joining a mesh that exists, by link and by key; and leaving it.

house (192.168.1.0/24) ── router ── 192.0.2.0/24 ── vps (somebody else's coordinator)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Playwright

from tests.netns.lab import wait_until
from tests.support.browser import NARROW, Visit
from tests.support.coordinator import Coordinator
from tests.support.homebox import LAN, LAN6
from tests.support.house import House, claim_box, open_house
from tests.support.setuppages import (
    ChooseMeshPage,
    ConnectingPage,
    DashboardPage,
    DevicesPage,
    JoinPage,
    LeavePage,
    LoginPage,
    NetworksPage,
)

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]


@dataclass(frozen=True, slots=True)
class Guest:
    """A claimed box, its owner's window, and a coordinator elsewhere."""

    house: House
    window: Visit
    coordinator: Coordinator

    def waiting(self) -> str:
        """Who waits to be let in there."""
        found = self.coordinator.admin("nodes", "pending")["pending"]
        return str(found[0]["id"]) if found else ""


@pytest.fixture(scope="module")
def guest(playwright: Playwright) -> Iterator[Guest]:
    """One box for the module."""
    with open_house(playwright) as house, house.visit(width=NARROW) as window:
        coordinator = Coordinator(house.home.vps)
        coordinator.start()
        coordinator.new_user("family")
        house.box.stop_agent()
        house.box.trust = coordinator.authority.file
        house.box.start_agent()
        claim_box(house, window)
        yield Guest(house, window, coordinator)


def test_a_login_link_with_a_qr_code_leads_into_the_mesh(guest: Guest) -> None:
    choose, join = ChooseMeshPage(guest.window), JoinPage(guest.window)
    choose.open()
    choose.join_existing()
    assert guest.window.shoot("mesh-join") == []
    join.join(guest.coordinator.url)
    connecting = ConnectingPage(guest.window)
    connecting.wait_for_link()
    assert connecting.link().startswith(guest.coordinator.url)
    assert connecting.has_qr()
    assert guest.window.shoot("mesh-login") == []
    with guest.house.visit(width=NARROW, javascript=False) as plain:
        LoginPage(plain).open()
        LoginPage(plain).log_in()
        plain.page.get_by_role("link", name="Look again").wait_for()
        assert plain.shoot("mesh-login-without-scripts") == []
    entry = wait_until(guest.waiting, 20, "the box waits to be let in")
    guest.coordinator.admin("nodes", "register", entry, "--user", "family")
    guest.window.page.wait_for_url("**/networks", timeout=40_000)


def test_what_somebody_else_must_approve_is_said_with_the_command(guest: Guest) -> None:
    networks = NetworksPage(guest.window)
    networks.offer()
    guest.window.page.wait_for_url("**/networks#approval")
    assert "latchkey admin routes approve" in guest.window.page.locator("main").inner_text()
    assert guest.window.shoot("networks-approval") == []
    dashboard = DashboardPage(guest.window)
    dashboard.open()
    assert guest.window.shoot("dashboard-unapproved") == []
    guest.coordinator.approve("latchkey", LAN, LAN6)
    dashboard.route(LAN).get_by_text("Ready", exact=True).wait_for(timeout=30_000)


def test_devices_of_another_mesh_are_let_in_elsewhere(guest: Guest) -> None:
    devices = DevicesPage(guest.window)
    devices.open()
    assert "another machine" in guest.window.page.locator("main").inner_text()
    devices.add("Mac")
    assert guest.coordinator.url in guest.window.page.locator("main").inner_text()
    assert guest.window.page.get_by_role("button", name="Make a key").count() == 0
    assert guest.window.shoot("device-elsewhere") == []


def test_leaving_asks_first_and_ends_at_the_choice_of_a_mesh(guest: Guest) -> None:
    leave = LeavePage(guest.window)
    leave.open()
    leave.press("Leave the mesh")
    assert "Tick the box" in leave.alert().inner_text()
    leave.leave()
    guest.window.page.wait_for_url("**/mesh")


def test_a_login_can_be_stopped_before_anybody_logged_in(guest: Guest) -> None:
    join, connecting = JoinPage(guest.window), ConnectingPage(guest.window)
    join.open()
    join.join(guest.coordinator.url)
    connecting.wait_for_link()
    connecting.press("Stop, and choose again")
    guest.window.page.wait_for_url("**/mesh")


def test_a_wrong_key_is_a_sentence_and_the_right_one_works_afterwards(guest: Guest) -> None:
    join, page = JoinPage(guest.window), guest.window.page
    join.open()
    join.join(guest.coordinator.url, "not a key")
    assert page.get_by_label("Key", exact=True).get_attribute("aria-invalid") == "true"
    join.join(guest.coordinator.url, "lkauth-0123456789ab-" + "0" * 48)
    page.get_by_role("alert").filter(has_text="does not know this key").wait_for()
    assert guest.window.shoot("mesh-wrong-key") == []
    join.open()
    key = guest.coordinator.new_key("family").key_file.read_text(encoding="ascii")
    join.join(guest.coordinator.url, key)
    page.wait_for_url(lambda url: "/mesh" not in url, timeout=40_000)


def test_nothing_was_asked_of_anybody_but_the_box(guest: Guest) -> None:
    assert guest.window.strangers() == []
    assert [text for text in guest.window.complaints if "status of 422" not in text] == []
