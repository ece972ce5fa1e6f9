from pathlib import Path

from tests.support.webui import make_page, post


def test_the_choice_leads_back(tmp_path: Path) -> None:
    browser = make_page(tmp_path).claimed()
    reply = post(browser, "/language", {"language": "de", "next": "/settings"})
    assert reply.location == "/settings"
    assert "Einstellungen" in browser.get("/settings").text
