from pathlib import Path

from tests.support.webui import make_page


def test_everybody_is_sent_to_what_is_next(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    assert page.browser().get("/").location == "/claim"
    browser = page.claimed()
    assert page.browser().get("/").location == "/login"
    assert browser.get("/").location == "/mesh"
    page.local.auth_url = "https://mesh.example.org/a"
    page.local.state = page.local.edit_prefs({"want_running": True})
    assert browser.get("/").location == "/mesh/connecting"
    page.local.join()
    assert browser.get("/").location == "/networks"
    page.local.edit_prefs({"advertise_exit_node": True})
    assert browser.get("/").location == "/dashboard"
