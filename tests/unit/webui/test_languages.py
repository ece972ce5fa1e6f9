from pathlib import Path

from tests.support.webui import make_page, post
from webui.languages import COOKIE


def test_the_browsers_language_is_spoken(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    assert '<html lang="de">' in browser.get("/claim", headers={"Accept-Language": "de-AT"}).text
    assert '<html lang="en">' in browser.get("/claim", headers={"Accept-Language": "fr"}).text
    assert '<html lang="en">' in browser.get("/claim").text


def test_a_choice_wins_over_the_browser(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    reply = post(browser, "/language", {"language": "de", "next": "/claim?code=x"})
    assert reply.location == "/claim?code=x"
    assert '<html lang="de">' in browser.get("/claim", headers={"Accept-Language": "en"}).text


def test_a_language_that_does_not_exist_is_ignored(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    reply = post(browser, "/language", {"language": "<script>", "next": "//evil.example"})
    assert reply.location == "/"
    assert browser.get_cookie(COOKIE) is None
    browser.set_cookie(COOKIE, "../../etc")
    assert '<html lang="en">' in browser.get("/claim").text
