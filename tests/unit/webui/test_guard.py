from pathlib import Path

import pytest

from tests.support.webui import PASSWORD, form_token, make_page, post
from webui import sessions
from webui.guard import SESSION_COOKIE, VISIT_COOKIE, is_same_origin, local_path


def test_a_foreign_host_is_told_where_the_box_is(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    reply = page.browser().get("/claim", headers={"Host": "evil.example"})
    assert reply.status_code == 421
    assert "http://latchkey.local" in reply.text
    assert "http://192.168.1.5" in reply.text
    assert reply.headers["Cache-Control"] == "no-store"


def test_a_name_of_the_settings_is_ours(tmp_path: Path) -> None:
    page = make_page(tmp_path, allowed_hosts=("box.example.org",))
    assert page.browser().get("/claim", headers={"Host": "box.example.org"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "http://localhost:80"}, True),
        ({}, True),
        ({"Referer": "http://localhost/login?next=/x"}, True),
        ({"Origin": "null", "Referer": "http://localhost/login"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost:8080"}, False),
        ({"Origin": "http://localhost@evil.example"}, False),
        ({"Origin": "http://[::bad"}, False),
        ({"Origin": "file://"}, False),
        ({"Referer": "http://evil.example/localhost"}, False),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://localhost", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_form_must_come_from_the_page_itself(
    tmp_path: Path, headers: dict[str, str], accepted: bool
) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    fields = {"form_token": form_token(browser), "password": PASSWORD}
    reply = browser.post("/login", data=fields, headers=headers)
    assert (reply.status_code == 303) is accepted
    assert accepted or reply.status_code == 403


def test_a_proxy_that_the_settings_name_may_be_the_origin(tmp_path: Path) -> None:
    page = make_page(tmp_path, allowed_hosts=("box.example.org",))
    page.claimed()
    reply = post(
        page.browser(),
        "/login",
        {"password": PASSWORD},
        headers={"Origin": "https://box.example.org"},
    )
    assert reply.status_code == 303


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "ü" * 64])
def test_a_form_needs_the_token_of_its_browser(tmp_path: Path, token: str) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    reply = browser.post("/settings/name", data={"form_token": token, "hostname": "evil"})
    assert reply.status_code == 403
    assert page.local.state.hostname == ""


def test_the_token_of_another_browser_is_worth_nothing(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    foreign = form_token(page.browser())
    assert browser.post("/logout", data={"form_token": foreign}).status_code == 403


def test_a_browser_without_cookies_is_told_so(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.app.test_client(use_cookies=False)
    token = form_token(browser)
    reply = browser.post("/login", data={"form_token": token, "password": PASSWORD})
    assert reply.status_code == 403
    assert "keeps no cookies" in reply.text


def test_everything_but_the_doors_needs_a_login(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    open_paths = ("/claim", "/login", "/language", "/static/")
    rules = [rule for rule in page.app.url_map.iter_rules() if "<" not in rule.rule]
    closed = [rule for rule in rules if not rule.rule.startswith(open_paths)]
    assert len(closed) > 12
    for rule in closed:
        if "GET" in (rule.methods or ()):
            assert browser.get(rule.rule).location.startswith("/login"), rule
        else:
            fields = {"form_token": form_token(browser)}
            assert browser.post(rule.rule, data=fields).location == "/login", rule
    changes = ("edit_prefs", "up", "down", "logout", "be_coordinator", "stop_coordinator")
    assert [call for call, _ in page.local.calls if call in changes] == []


def test_scripts_are_told_that_a_login_is_needed(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    reply = page.browser().get("/mesh/state", headers={"Accept": "application/json"})
    assert reply.status_code == 401


def test_after_the_login_one_is_where_one_wanted_to_be(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    assert browser.get("/settings?done=name").location == "/login?next=/settings?done%3Dname"


def test_every_answer_has_the_protecting_headers(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    for path in ("/", "/settings", "/static/page.css", "/nothing"):
        with browser.get(path) as reply:
            headers = reply.headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_pages_are_never_kept_and_assets_always(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    assert browser.get("/claim").headers["Cache-Control"] == "no-store"
    with browser.get("/static/page.css") as reply:
        assert "max-age=31536000" in reply.headers["Cache-Control"]


def test_cookies_are_out_of_the_reach_of_scripts_and_strangers(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    for name in (SESSION_COOKIE, VISIT_COOKIE):
        cookie = browser.get_cookie(name)
        assert cookie is not None
        assert cookie.http_only
        assert cookie.same_site == "Strict"


def test_behind_tls_cookies_stay_behind_tls(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    with page.browser().get("/claim", base_url="https://localhost") as reply:
        assert "; Secure" in reply.headers["Set-Cookie"]
    with page.browser().get("/claim") as reply:
        assert "; Secure" not in reply.headers["Set-Cookie"]


def test_a_login_gives_a_new_session_whatever_the_browser_brought(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    browser = page.browser()
    planted = sessions.new_token()
    browser.set_cookie(SESSION_COOKIE, planted)
    assert browser.get("/settings").status_code == 303
    post(browser, "/login", {"password": PASSWORD})
    cookie = browser.get_cookie(SESSION_COOKIE)
    assert cookie is not None
    assert cookie.value != planted


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/settings?x=1", "/settings?x=1"),
        ("", None),
        (None, None),
        ("//evil.example", None),
        ("http://evil.example", None),
        ("/\\evil.example", None),
        ("/a\nb", None),
        ("javascript:alert(1)", None),
        ("/" + "x" * 300, None),
    ],
)
def test_one_is_sent_on_only_within_the_page(text: str | None, path: str | None) -> None:
    assert local_path(text) == path


def test_an_origin_is_compared_with_scheme_host_and_port() -> None:
    assert is_same_origin("http://box", "box:80", "http")
    assert is_same_origin("https://box", "box", "https")
    assert not is_same_origin("ftp://box", "box", "http")
    assert not is_same_origin("http://", "box", "http")


@pytest.mark.parametrize("host", ["x" * 300, "x" * 64 + ".local", "a..b"])
def test_a_host_that_can_be_no_name_gets_a_plain_answer(tmp_path: Path, host: str) -> None:
    reply = make_page(tmp_path).browser().get("/claim", headers={"Host": host})
    assert reply.status_code == 400
    assert reply.mimetype == "text/plain"


def test_the_opener_policy_is_for_https_where_browsers_heed_it(tmp_path: Path) -> None:
    browser = make_page(tmp_path).browser()
    over_https = browser.get("/claim", base_url="https://localhost")
    assert over_https.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Cross-Origin-Opener-Policy" not in browser.get("/claim").headers
