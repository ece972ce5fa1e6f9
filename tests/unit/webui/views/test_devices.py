import logging
from pathlib import Path

import pytest

from appliance.adminapi.types import PendingInfo
from appliance.localapi.types import PeerStatus
from tests.support.webui import SERVER_URL, Page, make_page, node, post
from webui.platforms import PLATFORMS


@pytest.fixture
def page(tmp_path: Path) -> Page:
    made = make_page(tmp_path)
    made.admin.running = True
    made.local.join()
    return made


def waiting(page: Page, name: str = "Pixel", entry: str = "ab12") -> None:
    page.admin.waiting.append(
        PendingInfo(
            id=entry, hostname=name, os="android", client_version="", machine_key="m", waiting_s=42
        )
    )


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_its_page_with_the_address(page: Page, platform: str) -> None:
    text = page.signed_in().get(f"/devices/add/{platform}").text
    assert SERVER_URL in text
    assert ("QR code of the address" in text) == PLATFORMS[platform].is_phone
    assert "Make a key" in text
    assert "style=" not in text


def test_an_unknown_platform_is_no_page(page: Page) -> None:
    browser = page.signed_in()
    assert browser.get("/devices/add/amiga").status_code == 404
    assert post(browser, "/devices/add/amiga", {}).status_code == 404
    assert page.admin.keys == []


def test_looking_makes_no_key(page: Page) -> None:
    page.signed_in().get("/devices/add/linux")
    assert page.admin.keys == []


def test_a_key_is_shown_once_and_written_nowhere(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    browser = page.signed_in()
    with caplog.at_level(logging.DEBUG):
        reply = post(browser, "/devices/add/linux", {})
    assert reply.status_code == 200
    assert reply.headers["Cache-Control"] == "no-store"
    secret = "lkauth-fake-01-secret"
    assert f"--login-server={SERVER_URL} --auth-key={secret}" in reply.text
    assert secret not in caplog.text
    assert secret not in str(reply.headers)
    links = [part.partition('"')[0] for part in reply.text.split('href="')[1:]]
    links += [part.partition('"')[0] for part in reply.text.split('data-live="')[1:]]
    assert not any(secret in link for link in links)
    assert any("key=k1" in link for link in links)
    again = browser.get("/devices/add/linux?key=k1").text
    assert secret not in again
    assert "Waiting for the device" in again


def test_the_device_that_came_with_the_key_is_greeted(page: Page) -> None:
    browser = page.signed_in()
    post(browser, "/devices/add/android", {})
    came = page.admin.use_key()
    page.local.peers = {
        came.node_key: PeerStatus(
            public_key=came.node_key, dns_name="phone.mesh.", online=True, active=True, relay="home"
        )
    }
    text = browser.get("/devices/add/android?key=k1").text
    assert "phone has joined" in text
    assert "Through the relay home" in text


def test_a_page_without_a_script_is_asked_again_by_hand_until_then(page: Page) -> None:
    browser = page.signed_in()
    post(browser, "/devices/add/android", {})
    link = '<a class="button" href="/devices/add/android?key=k1">Look again</a>'
    text = browser.get("/devices/add/android?key=k1").text
    assert link in text
    assert "http-equiv" not in text, "a page does not change under its reader"
    page.admin.use_key()
    assert link not in browser.get("/devices/add/android?key=k1").text


def test_a_device_that_waits_is_let_in_and_then_greeted(page: Page) -> None:
    waiting(page)
    browser = page.signed_in()
    text = browser.get("/devices").text
    assert "Pixel" in text
    assert "ab12" in text
    reply = post(browser, "/devices/waiting/ab12/approve", {})
    assert reply.status_code == 303
    entry, request = dict(page.admin.calls)["approve_pending"]
    assert (entry, request.user) == ("ab12", "owner")
    assert "Pixel has joined" in browser.get(reply.location).text
    assert "Waiting to be let in" not in browser.get("/devices").text


def test_a_device_is_turned_away(page: Page) -> None:
    waiting(page)
    reply = post(page.signed_in(), "/devices/waiting/ab12/reject", {})
    assert (reply.status_code, reply.location) == (303, "/devices")
    assert page.admin.waiting == []


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_device_that_waits_no_longer_is_one_sentence(page: Page, action: str) -> None:
    reply = post(page.signed_in(), f"/devices/waiting/gone/{action}", {})
    assert reply.status_code == 404
    assert "No such device waits." in reply.text


def test_a_stranger_changes_nothing(page: Page) -> None:
    waiting(page)
    page.signed_in()
    stranger = page.browser()
    for path in ("/devices/waiting/ab12/approve", "/devices/add/linux"):
        assert post(stranger, path, {}).status_code in (303, 403)
    assert len(page.admin.waiting) == 1
    assert page.admin.keys == []


def test_hostile_devices_are_shown_as_text_and_cut(page: Page) -> None:
    evil = "<b>" + "x" * 300
    waiting(page, evil)
    text = page.signed_in().get("/devices").text
    assert "<b>x" not in text
    assert "x" * 100 not in text.partition('class="actions"')[0]


def test_elsewhere_the_page_says_where_it_is_done(page: Page) -> None:
    page.admin.running = False
    page.local.edit_prefs({"control_url": "https://mesh.example.org"})
    browser = page.signed_in()
    for path in ("/devices", "/devices/add/linux"):
        text = browser.get(path).text
        assert "https://mesh.example.org" in text
        assert "Devices are let in there" in text
        assert "Make a key" not in text
    assert post(browser, "/devices/add/linux", {}).status_code == 503


def test_a_device_that_joined_can_be_asked_for_its_path(page: Page) -> None:
    page.admin.members.append(node(7, "phone"))
    browser = page.signed_in()
    reply = post(browser, "/devices/7/try", {})
    assert (reply.status_code, reply.location) == (303, "/devices/7")
    assert ("ping", "100.64.0.7") in page.local.calls
    assert browser.get("/devices/8").status_code == 404


@pytest.mark.parametrize("path", ["", "/add/ios", "/1"])
def test_every_page_has_its_stream(page: Page, path: str) -> None:
    page.admin.add_self(page.local.state)
    reply = page.signed_in().get(f"/devices{path}/live")
    chunks = iter(reply.response)
    next(chunks)
    assert next(chunks).decode().startswith("event: part")
    reply.close()


def test_what_can_be_no_number_of_a_device_is_no_page(page: Page) -> None:
    assert post(page.signed_in(), "/devices/waiting/a%20b/reject", {}).status_code == 404
