from pathlib import Path

import pytest
from flask.testing import FlaskClient

from appliance.adminapi.errors import AdminApiError, CoordinatorNotRunningError
from appliance.localapi.errors import AgentNotRunningError, LocalApiError, NotAllowedError
from tests.support.webui import PASSWORD, Page, form_token, make_page, post
from webui.app import MAX_REQUEST_BYTES
from webui.store import FILE_NAME

HOSTILE = [
    "",
    " ",
    "\x00",
    "<script>alert(1)</script>",
    "'; drop table owner; --",
    "{{ 7*7 }}",
    "%(x)s %s %n",
    "../../etc/passwd",
    "http://evil.example/\r\nSet-Cookie: x=1",
    "javascript:alert(1)",
    "http://[::1",
    "0.0.0.0/0",
    "192.168.1.1/24",
    "-1",
    "9" * 400,
    "ü\u202e\U0001f511\ud7ff" * 50,
    "x" * 2_000,
]


def names_of_fields() -> tuple[str, ...]:
    return (
        *("code", "password", "again", "current", "next", "language", "server_url", "server"),
        *("url", "how", "key", "network", "other", "exit_node", "snat", "hostname"),
        *("connected", "sure", "name", "platform", "user", "id", "node", "entry", "device"),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return make_page(tmp_path_factory.mktemp("box"))


def paths(page: Page, method: str) -> list[str]:
    rules = page.app.url_map.iter_rules()
    found = sorted({rule.rule for rule in rules if method in (rule.methods or ())})
    return [path.replace("<", "").replace(">", "") for path in found if "/static" not in path]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_break_no_form_and_come_back_escaped(page: Page, value: str) -> None:
    browser = page.browser()
    token = form_token(browser)
    for path in paths(page, "POST"):
        page.clock[0] += 100.0
        with page.store.transaction() as db:
            db.execute("update claim set tries = 0, opened = ?", (page.clock[0],))
        fields = dict.fromkeys(names_of_fields(), value) | {"form_token": token}
        reply = browser.post(path, data=fields)
        assert reply.status_code in (303, 400, 403, 404, 409, 413, 422, 429, 502, 503), path
        assert "<script>alert" not in reply.text
        assert "Set-Cookie: x" not in str(reply.headers)


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, FlaskClient]:
    page = make_page(tmp_path_factory.mktemp("owned"), session_hours=700)
    return page, page.claimed()


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_break_no_form_of_the_owner(
    owned: tuple[Page, FlaskClient], value: str
) -> None:
    page, browser = owned
    fields = dict.fromkeys(names_of_fields(), value) | {"form_token": form_token(browser)}
    for path in paths(page, "POST"):
        if path == "/logout":
            continue
        for joined in (False, True):
            if joined:
                page.local.join()
            page.clock[0] += 100.0
            reply = browser.post(path, data=fields)
            assert reply.status_code in (303, 400, 403, 404, 409, 422, 502, 503), (path, reply.text)
            assert "<script>alert" not in reply.text
            page.local.joined = False


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_queries_break_no_page(page: Page, value: str) -> None:
    browser = page.browser()
    for path in ("/claim", "/login", "/nothing"):
        query = {"code": value, "next": value, "done": value}
        reply = browser.get(
            path,
            query_string=query,
            headers={"Accept-Language": value[:50]}
            if value.isprintable() and value.isascii()
            else {},
        )
        assert reply.status_code in (200, 303, 403, 404)
        assert "<script>alert" not in reply.text


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (AgentNotRunningError("x"), 503, "is not running"),
        (LocalApiError("x", "timeout"), 504, "took longer"),
        (NotAllowedError("x"), 502, "not allowed"),
        (LocalApiError("The agent broke off: <b>"), 502, "The agent broke off: &lt;b&gt;"),
    ],
)
def test_an_agent_that_fails_is_a_sentence_on_every_page(
    tmp_path: Path, error: LocalApiError, status: int, sentence: str
) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    page.local.broken = error
    for path in ("/", "/mesh", "/mesh/join", "/networks", "/settings", "/settings/leave"):
        reply = browser.get(path)
        assert reply.status_code == status, path
        assert sentence in reply.text, path
        assert "Traceback" not in reply.text


def test_a_coordinator_that_fails_leaves_the_pages_of_the_box_alone(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    page.local.join()
    for error in (CoordinatorNotRunningError("x"), AdminApiError("x", "timeout")):
        page.admin.broken = error
        for path in ("/networks", "/settings", "/mesh"):
            assert browser.get(path).status_code == 200, path


def test_a_disk_that_fails_is_a_sentence(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    for path in page.settings.state_dir.glob(f"{FILE_NAME}*"):
        path.unlink()
    (page.settings.state_dir / FILE_NAME).write_bytes(b"x" * 5000)
    reply = browser.get("/settings")
    assert reply.status_code == 503
    assert "cannot write to its disk" in reply.text


def test_a_bug_is_a_page_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    page.local.found = None  # type: ignore[assignment]
    page.local.join()
    reply = browser.get("/networks")
    assert reply.status_code == 500
    assert "Something went wrong" in reply.text
    assert "GET of networks.show failed" in caplog.text


def test_a_form_that_is_too_large_is_refused(page: Page) -> None:
    reply = post(page.browser(), "/login", {"password": "x" * (MAX_REQUEST_BYTES + 1)})
    assert reply.status_code == 413
    fields = {f"field{number}": "x" for number in range(5000)}
    assert post(page.browser(), "/login", fields).status_code in (413, 422, 303)


def test_other_methods_are_refused(page: Page) -> None:
    browser = page.browser()
    assert browser.put("/login").status_code == 403
    assert browser.delete("/claim", data={"form_token": "x"}).status_code == 403
    assert browser.open("/claim", method="TRACE").status_code in (403, 405)


def test_nothing_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    page = make_page(tmp_path)
    code = page.code
    browser = page.claimed()
    post(browser, "/mesh/join", {"server": "tailscale", "how": "key", "key": "tskey-auth-secret"})
    for secret in (code, PASSWORD, "tskey-auth-secret", form_token(browser)):
        assert secret not in caplog.text


def test_a_first_visit_is_small(page: Page) -> None:
    browser = page.browser()
    total = len(browser.get("/claim", follow_redirects=True).data)
    for name in ("page.css", "page.js", "logo.svg"):
        with browser.get(f"/static/{name}") as reply:
            total += len(reply.data)
    assert total < 100 * 1024
