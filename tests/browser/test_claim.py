"""Claiming, and those who try it without the code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.browser import NARROW, WIDE, focus_is_visible
from tests.support.house import House
from tests.support.setuppages import PASSWORD, ClaimPage, LoginPage
from tests.support.stranger import Stranger

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]


@pytest.fixture
def unclaimed(house: House) -> Iterator[House]:
    """The box as it comes out of its wrapping, whatever the test before did."""
    house.box.forget_owner()
    yield house
    house.box.forget_tries()


def test_the_keyboard_alone_claims_the_box(unclaimed: House) -> None:
    with unclaimed.visit(width=WIDE) as window:
        claim = ClaimPage(window)
        claim.open()
        window.page.keyboard.press("Tab")
        assert focus_is_visible(window.page)
        walked = claim.claim_by_keyboard(unclaimed.box.claim_code())
        window.page.wait_for_url(lambda url: "/claim" not in url)
        fields = [name for name in walked if name in ("code", "password", "again")]
        assert fields == ["code", "password", "again"]
        assert unclaimed.box.claim_code() == ""


def test_what_is_wrong_is_said_beside_the_field_and_keeps_what_was_typed(unclaimed: House) -> None:
    for width in (NARROW, WIDE):
        with unclaimed.visit(width=width) as window:
            claim = ClaimPage(window)
            claim.open()
            claim.claim("AAAAA-AAAAA", "short", "short")
            assert window.page.get_by_label("New password").get_attribute("aria-invalid") == "true"
            assert window.page.get_by_label("Claim code").input_value() == "AAAAA-AAAAA"
            assert window.shoot("claim-errors") == []
            claim.claim("AAAAA-AAAAA", again="another sentence about tea")
            assert claim.alert().is_visible()
            assert window.strangers() == []
    assert unclaimed.box.claim_code()


def test_wrong_codes_are_counted_over_both_workers(unclaimed: House) -> None:
    stranger = Stranger(unclaimed.home.laptop, unclaimed.box)
    stranger.get("/claim")
    wrong = {"code": "AAAAA-AAAAA", "password": PASSWORD, "again": PASSWORD}
    with unclaimed.box.only_worker(0):
        assert [stranger.post("/claim", wrong).status for _ in range(3)] == [422] * 3
    with unclaimed.box.only_worker(1):
        assert [stranger.post("/claim", wrong).status for _ in range(2)] == [422] * 2
        right = wrong | {"code": unclaimed.box.claim_code()}
        assert stranger.post("/claim", right).status == 429
    assert unclaimed.box.claim_code()


def test_wrong_codes_in_a_loop_are_stopped_and_the_wait_is_said(unclaimed: House) -> None:
    with unclaimed.visit() as window:
        claim = ClaimPage(window)
        claim.open()
        for _ in range(5):
            claim.claim("AAAAA-AAAAA")
            assert "This is not the code" in window.page.content()
        claim.claim(unclaimed.box.claim_code())
        assert "Too many tries" in claim.alert().inner_text()
        assert window.shoot("claim-too-fast") == []
        unclaimed.box.forget_tries()
        claim.claim(unclaimed.box.claim_code())
        window.page.wait_for_url(lambda url: "/claim" not in url)


def test_a_german_browser_finds_a_german_page(unclaimed: House) -> None:
    with unclaimed.visit(width=NARROW, locale="de-DE") as window:
        claim = ClaimPage(window)
        claim.open()
        assert window.page.locator("html").get_attribute("lang") == "de"
        assert claim.heading() != "Claim this box"
        assert window.shoot("claim-german") == []
        assert window.complaints == []


def test_an_hour_after_the_start_the_door_is_shut_until_the_next_start(unclaimed: House) -> None:
    with unclaimed.visit() as window:
        claim = ClaimPage(window)
        claim.open()
        code = unclaimed.box.claim_code()
        unclaimed.box.age_claim(3601)
        claim.claim(code)
        assert "time for claiming is over" in claim.heading()
        assert window.shoot("claim-expired") == []
        unclaimed.box.kill_webui()
        unclaimed.box.start_webui()
        claim.open()
        claim.claim(unclaimed.box.claim_code())
        window.page.wait_for_url(lambda url: "/claim" not in url)


def test_a_box_with_an_owner_cannot_be_claimed_again(unclaimed: House) -> None:
    with unclaimed.visit() as window:
        claim = ClaimPage(window)
        claim.open_from_qr(unclaimed.box.claim_code())
        claim.claim(unclaimed.box.claim_code())
        window.page.wait_for_url(lambda url: "/claim" not in url)
    with unclaimed.visit() as window:
        ClaimPage(window).open()
        assert "has an owner" in ClaimPage(window).heading()
        assert window.shoot("claimed-already") == []
        login = LoginPage(window)
        login.open()
        assert window.shoot("login") == []
        login.log_in("not the password")
        assert "The password is wrong" in window.page.content()
        login.log_in()
        window.page.wait_for_url(lambda url: "/login" not in url)
