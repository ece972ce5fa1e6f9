"""The whole way: from the code on the box's screen to a phone that opens the printer's page.

On a phone's and on a computer's window, each with and without JavaScript; every variant has a
house of its own and walks the stages in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright

from tests.netns.lab import LabError, wait_until
from tests.netns.lab.web import client_seen
from tests.support.browser import NARROW, WIDE, Visit, overflow
from tests.support.homebox import LAN, LAN6
from tests.support.house import House, open_house
from tests.support.mesh import Phone
from tests.support.peers import require_peer
from tests.support.setuppages import (
    AddDevicePage,
    ChooseMeshPage,
    ClaimPage,
    DashboardPage,
    DevicesPage,
    LeavePage,
    NetworksPage,
    NewMeshPage,
    SettingsPage,
    choose_language,
)

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

VARIANTS = [
    pytest.param((NARROW, True), id="360"),
    pytest.param((WIDE, True), id="1280"),
    pytest.param((NARROW, False), id="360-without-scripts"),
    pytest.param((WIDE, False), id="1280-without-scripts"),
]


class Journey:
    """A house, and the window in which its owner goes all the way."""

    def __init__(self, house: House, window: Visit) -> None:
        self.house = house
        self.window = window
        self.phone: Phone | None = None

    def shoot(self, name: str) -> list[str]:
        """A picture of the page; what is wrong with it."""
        return self.window.shoot(name if self.window.javascript else f"{name}-without-scripts")


@pytest.fixture(scope="module", params=VARIANTS)
def journey(request: pytest.FixtureRequest, playwright: Playwright) -> Iterator[Journey]:
    """A new box, and its owner's window."""
    width, javascript = request.param
    with (
        open_house(playwright) as house,
        house.visit(width=width, javascript=javascript) as window,
    ):
        yield Journey(house, window)


def test_the_owner_claims_the_box(journey: Journey) -> None:
    claim = ClaimPage(journey.window)
    claim.open_from_qr(journey.house.box.claim_code())
    assert journey.shoot("claim") == []
    claim.claim(journey.house.box.claim_code())
    journey.window.page.wait_for_url("**/mesh")


def test_the_box_becomes_the_coordinator_of_a_new_mesh(journey: Journey) -> None:
    choose, new = ChooseMeshPage(journey.window), NewMeshPage(journey.window)
    assert journey.shoot("mesh") == []
    choose.make_new()
    assert new.suggested() == f"{journey.house.box.url}:8080"
    assert journey.shoot("mesh-new") == []
    new.make()
    journey.window.page.wait_for_url("**/networks", timeout=40_000)


def test_the_home_network_and_the_exit_node_are_offered_and_approved(journey: Journey) -> None:
    networks = NetworksPage(journey.window)
    assert networks.is_chosen(LAN)
    assert journey.shoot("networks-first") == []
    networks.offer(exit_node=True)
    journey.window.page.wait_for_url("**/devices**")
    routes = json.loads(journey.house.box.latchkey("admin", "routes", "list", "--json"))["routes"]
    assert {r["prefix"] for r in routes if r["approved"]} == {LAN, LAN6, "0.0.0.0/0", "::/0"}


def test_a_stock_client_joins_with_the_key_that_the_page_shows(journey: Journey) -> None:
    caddy = require_peer("caddy")
    devices, adding = DevicesPage(journey.window), AddDevicePage(journey.window)
    assert journey.shoot("devices-first") == []
    devices.add("Android")
    assert journey.shoot("device-add") == []
    key = adding.make_key()
    assert journey.shoot("device-key") == []
    if not journey.window.javascript:
        adding.ask_whether_joined()
        assert journey.shoot("device-awaited") == []
    phone = Phone(journey.house.home.phone, journey.house.join_with(key), caddy)
    phone.start(f"{journey.house.home.printer.ip}:80")
    wait_until(lambda: _page_of(phone) or adding.has_joined("phone"), 20, "the phone joins")
    adding.wait_for("phone")
    assert adding.is_announced("phone has joined")
    assert journey.shoot("device-joined") == []
    journey.phone = phone


def test_it_opens_the_printers_page_through_the_box(journey: Journey) -> None:
    house = journey.house
    assert journey.phone is not None
    # A client that accepts no subnet routes, as this library does, is shown one host of the LAN.
    house.box.latchkey("admin", "routes", "publish", "latchkey", house.home.printer.ip)
    page = wait_until(lambda: _page_of(journey.phone), 30, "the phone loads the printer's page")
    assert client_seen(page) == house.box.host.ip


def test_every_other_page_is_in_order(journey: Journey) -> None:
    for page, name in (
        (DevicesPage, "devices"),
        (NetworksPage, "networks"),
        (SettingsPage, "settings"),
        (LeavePage, "settings-leave"),
    ):
        page(journey.window).open()
        assert journey.shoot(name) == []


def test_the_overview_has_the_device_and_sees_the_route_proven(journey: Journey) -> None:
    dashboard = DashboardPage(journey.window)
    dashboard.open()
    assert dashboard.heading() == "latchkey"
    assert journey.window.page.get_by_role("heading", name="phone").is_visible()
    dashboard.wait_for_proof(LAN)
    assert journey.shoot("dashboard") == []


def test_in_german_every_sentence_is_german_and_fits(journey: Journey) -> None:
    window = journey.window
    devices = ("/devices", "/devices/add/android", "/devices/add/linux")
    pages = ["/dashboard", *devices, "/networks", "/settings", "/settings/leave", "/mesh"]
    if not window.javascript:
        del pages[1:]  # their texts are the same
    english = {path: _sentences(window, path) for path in pages}
    choose_language(window, "Deutsch")
    for path in pages:
        untranslated = _sentences(window, path) & english[path]
        assert untranslated == set(), path
        assert overflow(window.page) == 0, path
    window.open("/dashboard")
    assert window.page.locator("html").get_attribute("lang") == "de"
    assert journey.shoot("dashboard-german") == []
    choose_language(window, "English")


def test_everything_stayed_in_the_house_and_nothing_was_complained_of(journey: Journey) -> None:
    assert journey.window.requests
    assert journey.window.strangers() == []
    assert journey.window.complaints == []


def _page_of(phone: Phone | None) -> str:
    try:
        return phone.get(timeout_s=2) if phone else ""
    except (OSError, LabError):
        return ""


def _sentences(window: Visit, path: str) -> set[str]:
    """What the page says in three words or more; dates and addresses are in no language."""
    window.open(path)
    lines = window.page.locator("body").inner_text().splitlines()
    words = {line.strip(): re.findall(r"[^\W\d_]{2,}", line) for line in lines}
    return {
        line
        for line, found in words.items()
        if len(found) >= 3 and " " in line and "--" not in line
    }
