from pathlib import Path

import pytest

from tests.support.webui import PASSWORD, make_page, post


def test_a_link_fills_the_code_in_and_claims_nothing(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.browser()
    reply = browser.get(f"/claim?code={page.code}")
    assert f'value="{page.code}"' in reply.text
    assert browser.get("/").location == "/claim"


def test_the_owner_is_logged_in_at_once(tmp_path: Path) -> None:
    assert make_page(tmp_path).claimed().get("/mesh").status_code == 200


def test_the_door_is_shut_behind_the_owner(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    code = page.code
    page.claimed()
    stranger = page.browser()
    reply = stranger.get("/claim")
    assert reply.status_code == 403
    assert "sudo latchkey setup-code --reset" in reply.text
    fields = {"code": code, "password": "another password", "again": "another password"}
    assert post(stranger, "/claim", fields).status_code == 403
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 303


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"code": "", "password": PASSWORD, "again": PASSWORD}, "code"),
        ({"code": "ABC", "password": PASSWORD, "again": PASSWORD}, "code"),
        ({"code": "0000000000", "password": "short", "again": "short"}, "password"),
        ({"code": "0000000000", "password": PASSWORD, "again": "x"}, "again"),
        ({}, "code"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_costs_no_try(
    tmp_path: Path, fields: dict[str, str], field: str
) -> None:
    page = make_page(tmp_path)
    for _ in range(7):
        reply = post(page.browser(), "/claim", fields)
        assert reply.status_code == 422
    assert f'id="{field}-error"' in reply.text
    assert PASSWORD not in reply.text


def test_a_wrong_code_is_said_and_the_code_kept(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    fields = {"code": "00000-00000", "password": PASSWORD, "again": PASSWORD}
    reply = post(page.browser(), "/claim", fields)
    assert reply.status_code == 422
    assert 'value="00000-00000"' in reply.text
    assert "not the code that the box shows" in reply.text


def test_codes_in_a_loop_have_to_wait(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    fields = {"code": "00000-00000", "password": PASSWORD, "again": PASSWORD}
    for _ in range(5):
        assert post(page.browser(), "/claim", fields).status_code == 422
    reply = post(page.browser(), "/claim", fields | {"code": page.code})
    assert reply.status_code == 429
    assert "Wait 61 seconds" in reply.text
    page.clock[0] += 61
    assert post(page.browser(), "/claim", fields | {"code": page.code}).status_code == 303


def test_after_an_hour_a_restart_is_asked_for(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.clock[0] += 3600
    reply = page.browser().get("/claim")
    assert reply.status_code == 403
    assert "Turn the box off and on again" in reply.text


def test_over_plain_http_the_page_says_who_could_read_the_password(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    assert "is not encrypted" in browser.get("/claim").text
    proxied = browser.get("/claim", headers={"X-Forwarded-Proto": "https"})
    assert "is not encrypted" not in proxied.text


def test_somebody_who_looks_for_the_code_is_told_where_it_is(tmp_path: Path) -> None:
    text = make_page(tmp_path).browser().get("/claim").text
    assert "Where is the code?" in text
    assert "sudo latchkey setup-code<" in text
