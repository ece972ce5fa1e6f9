"""What breaks in the middle: page, agent, coordinator; and every step can be tried again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.netns.lab import wait_until
from tests.support.browser import WIDE, Visit
from tests.support.house import House, found_mesh
from tests.support.setuppages import (
    AddDevicePage,
    ClaimPage,
    DashboardPage,
    DevicesPage,
    LeavePage,
    NetworksPage,
    NewMeshPage,
    SettingsPage,
)

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def owner(house: House) -> Iterator[Visit]:
    """The owner's window; the tests of this module follow it from the claim on."""
    with house.visit(width=WIDE) as window:
        yield window


def test_the_page_ends_between_the_claim_form_and_its_answer(house: House, owner: Visit) -> None:
    claim = ClaimPage(owner)
    claim.open()
    with _page_away(house):
        claim.claim(house.box.claim_code())
        wait_until(lambda: _is_lost(owner), 20, "the browser says that the connection is lost")
    claim.open()
    claim.claim(house.box.claim_code())
    owner.page.wait_for_url("**/mesh")


def test_the_page_ends_between_the_mesh_form_and_its_answer(house: House, owner: Visit) -> None:
    new = NewMeshPage(owner)
    new.open()
    with _page_away(house):
        new.make()
        wait_until(lambda: _is_lost(owner), 20, "the browser says that the connection is lost")
    assert house.box.coordinator_settings() == ""
    new.open()
    assert new.suggested() == f"{house.box.url}:8080"


def test_the_page_is_killed_while_it_makes_the_mesh(house: House, owner: Visit) -> None:
    new = NewMeshPage(owner)
    new.open()
    owner.page.get_by_role("button", name="Make the mesh").click(no_wait_after=True)
    wait_until(house.box.coordinator_settings, 10, "the coordinator is asked for")
    house.box.kill_webui()
    wait_until(lambda: _is_lost(owner), 20, "the browser says that the connection is lost")
    house.box.start_webui()
    owner.open("/")
    owner.page.wait_for_url("**/networks", timeout=40_000)


def test_the_page_ends_between_the_networks_form_and_its_answer(house: House, owner: Visit) -> None:
    networks = NetworksPage(owner)
    networks.open()
    with _page_away(house):
        networks.offer(exit_node=True)
        wait_until(lambda: _is_lost(owner), 20, "the browser says that the connection is lost")
    networks.open()
    networks.offer(exit_node=True)
    owner.page.wait_for_url("**/devices**")


def test_the_page_ends_between_a_device_and_its_key(house: House, owner: Visit) -> None:
    devices, adding = DevicesPage(owner), AddDevicePage(owner)
    devices.open()
    devices.add("Linux")
    with _page_away(house):
        owner.page.get_by_role("button", name="Make a key").click()
        wait_until(lambda: _is_lost(owner), 20, "the browser says that the connection is lost")
    devices.open()
    devices.add("Linux")
    assert adding.make_key().startswith("lkauth-")


def test_while_the_agent_is_away_every_page_says_so_and_what_to_do(
    house: House, owner: Visit
) -> None:
    house.box.stop_agent()
    try:
        for page in (DashboardPage, NetworksPage, DevicesPage, SettingsPage):
            page(owner).open()
            assert "is not running" in page(owner).alert().first.inner_text()
        assert owner.shoot("settings-agent-away") == []
        owner.open("/")
        assert "is not running" in owner.page.get_by_role("alert").first.inner_text()
        assert owner.shoot("agent-away") == []
    finally:
        house.box.start_agent()
    wait_until(lambda: _is_running(owner), 20, "the box is in its mesh again")


def test_an_open_overview_survives_the_agents_restart(house: House, owner: Visit) -> None:
    dashboard = DashboardPage(owner)
    dashboard.open()
    badge = owner.page.locator("#summary .badge", has_text="In the mesh")
    badge.wait_for()
    house.box.stop_agent()
    owner.page.wait_for_timeout(3000)
    house.box.start_agent()
    badge.wait_for(timeout=40_000)


def test_while_the_coordinator_is_away_the_box_says_so_and_goes_on(
    house: House, owner: Visit
) -> None:
    house.box.stop_coordinator()
    try:
        dashboard = DashboardPage(owner)
        wait_until(lambda: _says(owner, dashboard.path, "coordinator"), 30, "it is noticed")
        assert owner.shoot("coordinator-away") == []
        devices = DevicesPage(owner)
        devices.open()
        assert "coordinator on this box is not running" in devices.alert().inner_text()
        assert owner.shoot("devices-coordinator-away") == []
    finally:
        house.box.start_coordinator()
    wait_until(lambda: _is_running(owner), 30, "the coordinator is back")


def test_a_mesh_with_nobody_else_in_it_ends_when_the_box_leaves_and_begins_anew(
    house: House, owner: Visit
) -> None:
    leave = LeavePage(owner)
    leave.open()
    leave.leave()
    owner.page.wait_for_url("**/mesh")
    assert house.box.coordinator is not None
    assert house.box.coordinator.wait(20) == 0
    house.box.start_coordinator()
    found_mesh(owner)


def test_nobody_else_is_asked_meanwhile(owner: Visit) -> None:
    assert owner.strangers() == []
    assert [text for text in owner.complaints if "Failed to load resource" not in text] == []


@contextmanager
def _page_away(house: House) -> Iterator[None]:
    """The setup page is dead within the block."""
    house.box.kill_webui()
    try:
        yield
    finally:
        house.box.start_webui()


def _is_lost(window: Visit) -> bool:
    window.page.wait_for_timeout(50)  # lets the browser's news in
    return window.page.url.startswith("chrome-error:")


def _is_running(window: Visit) -> bool:
    window.open("/dashboard")
    return window.page.locator("#summary .badge.good").is_visible()


def _says(window: Visit, path: str, text: str) -> bool:
    window.open(path)
    return text in window.page.locator("main").inner_text().lower()
