"""What other pages, machines and names get from the box: raw HTTP, without a browser's manners."""

from __future__ import annotations

import pytest

from tests.support.house import House
from tests.support.setuppages import PASSWORD
from tests.support.stranger import Reply, Stranger

pytestmark = [pytest.mark.netns, pytest.mark.timeout(120)]

HOSTILE = (
    "",
    " ",
    "'; drop table owner; --",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 191 }}",
    "../../../../etc/passwd",
    "%00%0d%0aSet-Cookie: owned=1",
    "\x00\r\nX: y",
    "\ud83d\ude00" * 50,
    "\u202eevil",
    "A" * 5000,
    "-1",
    "1e309",
    "http://[::1",
    "javascript:alert(1)",
)


@pytest.fixture
def stranger(house: House) -> Stranger:
    """Somebody new."""
    return Stranger(house.home.laptop, house.box)


def test_a_foreign_name_for_the_box_shows_only_its_own_names(
    house: House, stranger: Stranger
) -> None:
    code = house.box.claim_code()
    for host in (
        "evil.example",
        "192.168.1.10.evil.example",
        "192.168.1.21",
        "[::1",
        "a b",
        "x" * 300,
    ):
        reply = stranger.get(f"/claim?code={code}", Host=host)
        assert reply.status in (400, 421), host
        assert "form_token" not in reply.body
        assert reply.cookies == []
    assert stranger.get("/claim", Host="latchkey.local").status == 200
    assert stranger.get("/claim", Host="latchkey").status == 200


def test_a_form_from_another_origin_changes_nothing(house: House, stranger: Stranger) -> None:
    stranger.get("/claim")
    form = {"code": house.box.claim_code(), "password": PASSWORD, "again": PASSWORD}
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "https://192.168.1.10"},
        {"Origin": "http://192.168.1.10:8080"},
        {"Origin": "null", "Referer": "http://evil.example/"},
        {"Referer": "http://evil.example/claim"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert stranger.post("/claim", form, **headers).status == 403, headers
    assert house.box.claim_code()


def test_a_form_without_its_token_or_its_cookie_changes_nothing(
    house: House, stranger: Stranger
) -> None:
    stranger.get("/claim")
    form = {"code": house.box.claim_code(), "password": PASSWORD, "again": PASSWORD}
    assert stranger.post("/claim", form | {"form_token": ""}).status == 403
    assert stranger.post("/claim", form | {"form_token": "x" * 64}).status == 403
    assert stranger.post("/claim", form, Cookie="").status == 403
    assert Stranger(house.home.laptop, house.box).post("/claim", form).status == 403
    assert house.box.claim_code()


def test_hostile_values_in_the_first_forms_get_a_sentence_and_never_a_crash(
    house: House, stranger: Stranger
) -> None:
    stranger.get("/claim")
    for value in HOSTILE:
        house.box.forget_tries()
        reply = stranger.post("/claim", {"code": value, "password": value, "again": value})
        assert reply.status in (422, 429), ascii(value)
        assert "<script>alert" not in reply.body
        assert "onerror=alert(1)>" not in reply.body
        reply = stranger.post("/language", {"language": value, "next": value})
        assert reply.status == 303
        assert reply.headers["Location"].startswith("/")
        assert not reply.headers["Location"].startswith("//")
    for target in ("//evil.example/", "https://evil.example/", "/\\evil.example"):
        reply = stranger.post("/language", {"language": "de", "next": target})
        assert "evil" not in reply.headers["Location"]
    assert house.box.claim_code()


def test_what_is_no_form_at_all_is_refused(house: House, stranger: Stranger) -> None:
    stranger.get("/claim")
    kind = "application/x-www-form-urlencoded"
    assert stranger.post("/claim", {"code": "x" * 100_000}).status == 413
    assert stranger.post_raw("/claim", "&" * 3000, Content_Type=kind).status in (400, 403, 413)
    assert stranger.post_raw("/claim", "{}", Content_Type="application/json").status == 403
    assert stranger.post_raw("/claim", "--x", Content_Type="multipart/form-data").status in (
        400,
        403,
    )
    assert stranger.get("/no/such/page").status in (303, 404)
    assert stranger.get("/static/../settings.py").status == 404
    assert stranger.get("/static/%2e%2e/settings.py").status == 404
    assert stranger.get("/?" + "a" * 3000).status in (200, 303, 400, 414)
    assert house.box.page_answers()


def test_every_answer_carries_the_headers_that_keep_other_pages_out(stranger: Stranger) -> None:
    for path in ("/claim", "/no/such/page", "/static/page.css"):
        headers = stranger.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_without_a_login_no_page_says_anything(house: House, stranger: Stranger) -> None:
    for path in ("/", "/mesh", "/mesh/found", "/networks", "/devices", "/dashboard", "/settings"):
        reply = stranger.get(path)
        assert reply.status == 303, path
        assert reply.headers["Location"].startswith("/claim")


_FORMS_BEFORE = (
    ("/mesh/found", ("server_url",)),
    ("/mesh/join", ("server", "url", "how", "key")),
    ("/mesh/join", ("url",)),
    ("/settings/name", ("hostname",)),
    ("/settings/password", ("current", "password", "again")),
    ("/settings/connection", ("unknown",)),
    ("/settings/leave", ("sure",)),
    ("/login", ("password", "next")),
)
_FORMS_AFTER = (
    ("/networks", ("network", "other", "exit_node", "snat")),
    ("/networks", ("other",)),
    ("/settings/name", ("hostname",)),
    ("/dashboard/approve", ("node", "prefix")),
    ("/dashboard/probe", ("prefix",)),
    ("/settings/leave", ("sure",)),
)


def test_hostile_values_in_the_owners_forms_change_nothing(
    house: House, stranger: Stranger
) -> None:
    _claim(house, stranger)
    for path, fields in _FORMS_BEFORE:
        constant = {"server": "other", "how": "key"} if path == "/mesh/join" else {}
        for value in HOSTILE:
            house.box.forget_tries()
            reply = stranger.post(path, dict.fromkeys(fields, value) | constant)
            assert reply.status in (303, 400, 409, 422), (path, ascii(value), reply.body)
            _is_harmless(reply)
    assert house.box.coordinator_settings() == ""


def test_hostile_values_once_the_box_is_in_its_mesh(house: House, stranger: Stranger) -> None:
    _log_in(house, stranger)
    assert stranger.post("/mesh/found", {"server_url": f"{house.box.url}:8080"}).status == 303
    stranger.get("/networks")
    for path, fields in _FORMS_AFTER:
        for value in HOSTILE:
            reply = stranger.post(path, dict.fromkeys(fields, value))
            assert reply.status in (303, 400, 404, 409, 422), (path, ascii(value), reply.body)
            _is_harmless(reply)
    for path in (
        "/devices/add/nothing",
        "/devices/waiting/nobody/approve",
        "/devices/waiting/%3Cscript%3E/reject",
        "/devices/waiting/..%2f..%2fnodes/approve",
        "/devices/99999999999999999999/try",
        "/devices/7/try",
    ):
        reply = stranger.post(path, {})
        assert reply.status in (303, 400, 404, 405, 409), (path, reply.status)
        _is_harmless(reply)
    assert stranger.get("/dashboard").status == 200


def test_a_session_ends_everywhere_at_the_logout(house: House, stranger: Stranger) -> None:
    _log_in(house, stranger)
    kept = dict(stranger.cookies)
    assert stranger.get("/settings").status == 200
    assert stranger.post("/logout", {}).status == 303
    stranger.cookies = kept
    assert stranger.get("/settings").status == 303
    stranger.cookies = kept | {"latchkey_session": "x" * 43}
    assert stranger.get("/settings").status == 303


def _claim(house: House, stranger: Stranger) -> None:
    stranger.get("/claim")
    house.box.forget_tries()
    form = {"code": house.box.claim_code(), "password": PASSWORD, "again": PASSWORD}
    assert stranger.post("/claim", form).status == 303
    stranger.get("/mesh")


def _log_in(house: House, stranger: Stranger) -> None:
    house.box.forget_tries()
    stranger.get("/login")
    assert stranger.post("/login", {"password": PASSWORD}).status == 303
    stranger.get("/settings")


def _is_harmless(reply: Reply) -> None:
    assert "<script>alert" not in reply.body
    assert "<img src=x" not in reply.body
    assert "1337" not in reply.body  # 7 * 191, had a template worked it out
    assert "evil" not in reply.headers.get("Location", "")
    assert not any("owned" in cookie for cookie in reply.cookies)
