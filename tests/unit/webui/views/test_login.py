from pathlib import Path

from tests.support.webui import PASSWORD, make_page, post


def test_the_right_password_leads_to_where_one_wanted_to_be(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    reply = post(browser, "/login", {"password": PASSWORD, "next": "/settings"})
    assert (reply.status_code, reply.location) == (303, "/settings")
    assert browser.get("/settings").status_code == 200


def test_one_is_not_sent_to_other_sites(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    reply = post(page.browser(), "/login", {"password": PASSWORD, "next": "//evil.example/"})
    assert reply.location == "/"


def test_a_wrong_password_is_said_at_its_field(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    for password in ("wrong password", ""):
        reply = post(browser, "/login", {"password": password})
        assert reply.status_code == 422
        assert 'id="password-error"' in reply.text
    assert browser.get("/settings").status_code == 303


def test_guessing_is_slowed_down_for_the_one_who_guesses(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    for _ in range(5):
        assert post(page.browser(), "/login", {"password": "wrong one"}).status_code == 422
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 429
    elsewhere = {"REMOTE_ADDR": "192.168.1.77"}
    reply = post(page.browser(), "/login", {"password": PASSWORD}, environ_overrides=elsewhere)
    assert reply.status_code == 303
    page.clock[0] += 61
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 303


def test_after_logging_out_the_cookie_is_worth_nothing(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    cookie = browser.get_cookie("latchkey_session")
    assert cookie is not None
    assert post(browser, "/logout", {}).location == "/login"
    assert browser.get_cookie("latchkey_session") is None
    browser.set_cookie("latchkey_session", cookie.value)
    assert browser.get("/settings").status_code == 303


def test_an_unclaimed_box_cannot_be_logged_in_to(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    assert page.browser().get("/login").location == "/claim"
    assert post(page.browser(), "/login", {"password": PASSWORD}).status_code == 422


def test_who_is_logged_in_needs_no_login(tmp_path: Path) -> None:
    assert make_page(tmp_path).claimed().get("/login").location == "/"


def test_a_session_ends_after_its_hours(tmp_path: Path) -> None:
    page = make_page(tmp_path, session_hours=1)
    browser = page.claimed()
    page.clock[0] += 3599
    assert browser.get("/settings").status_code == 200
    page.clock[0] += 1
    assert browser.get("/settings").status_code == 303
