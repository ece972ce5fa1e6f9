from pathlib import Path

import pytest

from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import CoordinatorSettings, Prefs
from tests.support.webui import PASSWORD, SERVER_URL, Page, make_page, post

NEW = {"current": PASSWORD, "password": "another password", "again": "another password"}


def member(directory: Path) -> Page:
    page = make_page(directory)
    page.local.state = Prefs(control_url="https://mesh.example.org", advertise_exit_node=True)
    page.local.join()
    return page


def test_the_box_gets_another_name(tmp_path: Path) -> None:
    page = member(tmp_path)
    reply = post(page.claimed(), "/settings/name", {"hostname": " Attic "}, follow_redirects=True)
    assert "The box has its new name." in reply.text
    assert page.local.state.hostname == "attic"


@pytest.mark.parametrize("name", ["-x", "x-", "a b", "a.b", "ä", "x" * 64, "<b>"])
def test_a_name_that_does_not_fit_is_said_at_its_field(tmp_path: Path, name: str) -> None:
    page = member(tmp_path)
    reply = post(page.claimed(), "/settings/name", {"hostname": name})
    assert reply.status_code == 422
    assert 'id="hostname-error"' in reply.text
    assert page.local.state.hostname == ""


def test_an_empty_name_is_that_of_the_machine(tmp_path: Path) -> None:
    page = member(tmp_path)
    page.local.edit_prefs({"hostname": "attic"})
    post(page.claimed(), "/settings/name", {"hostname": ""})
    assert page.local.state.hostname == ""


def test_a_new_password_ends_other_sessions(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser, other = page.claimed(), page.browser()
    post(other, "/login", {"password": PASSWORD})
    assert other.get("/settings").status_code == 200
    assert post(browser, "/settings/password", NEW).status_code == 303
    assert browser.get("/settings").status_code == 200
    assert other.get("/settings").status_code == 303
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 422
    assert post(page.browser(), "/login", {"password": "another password"}).status_code == 303


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"current": "wrong"}, "current"),
        ({"current": ""}, "current"),
        ({"password": "short"}, "password"),
        ({"again": "different"}, "again"),
    ],
)
def test_a_password_is_not_changed_by_a_form_that_does_not_fit(
    tmp_path: Path, changes: dict[str, str], field: str
) -> None:
    page = member(tmp_path)
    reply = post(page.claimed(), "/settings/password", NEW | changes)
    assert reply.status_code == 422
    assert f'id="{field}-error"' in reply.text
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 303


def test_guessing_the_present_password_is_slowed_down(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    for _ in range(5):
        post(browser, "/settings/password", NEW | {"current": "wrong"})
    assert post(browser, "/settings/password", NEW).status_code == 429


def test_the_box_disconnects_and_connects(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    reply = post(browser, "/settings/connection", {"connected": "no"}, follow_redirects=True)
    assert "The box is disconnected." in reply.text
    assert not page.local.state.want_running
    assert 'value="yes"' in reply.text
    post(browser, "/settings/connection", {"connected": "yes"})
    assert page.local.state.want_running


def test_an_expired_login_is_renewed_from_here(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    assert "Log in again" not in browser.get("/settings").text
    page.local.backend_state = "NeedsLogin"
    assert "Log in again" in browser.get("/settings").text
    page.local.joined, page.local.auth_url = False, "https://mesh.example.org/a/1"
    assert post(browser, "/settings/login", {}).location == "/mesh/connecting"
    assert "https://mesh.example.org/a/1" in browser.get("/mesh/connecting").text


def test_leaving_asks_first(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    assert "https://mesh.example.org" in browser.get("/settings/leave").text
    assert post(browser, "/settings/leave", {}).status_code == 422
    assert page.local.joined
    assert post(browser, "/settings/leave", {"sure": "yes"}).location == "/"
    assert not page.local.joined
    assert browser.get("/").location == "/mesh"


def test_ones_own_mesh_ends_with_its_last_node(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    page.local.own_coordinator = CoordinatorSettings(configured=True, server_url=SERVER_URL)
    assert "the mesh ends with it" in browser.get("/settings/leave").text
    post(browser, "/settings/leave", {"sure": "yes"})
    assert not page.local.own_coordinator.configured


def test_a_mesh_with_others_in_it_is_not_left(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    page.local.own_coordinator = CoordinatorSettings(configured=True, server_url=SERVER_URL)

    def refuse() -> None:
        raise LocalApiError("Other nodes have joined.", "conflict")

    page.local.stop_coordinator = refuse  # type: ignore[method-assign,assignment]
    reply = post(browser, "/settings/leave", {"sure": "yes"})
    assert reply.status_code == 409
    assert "Other nodes have joined." in reply.text
    assert page.local.joined


def test_without_an_agent_the_password_can_still_be_changed(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    page.local.broken = LocalApiError("x", "timeout")
    assert 'name="current"' in browser.get("/settings").text
    assert post(browser, "/settings/password", NEW).status_code == 303
