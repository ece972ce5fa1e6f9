from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.adminapi.types import PendingInfo
from appliance.localapi.errors import AgentNotRunningError
from appliance.localapi.types import Fact, HealthItem, PeerStatus, RouteStatus
from tests.support.webui import LAN, Page, make_page, post
from webui.live import EXTENSION, Streams

NOW = datetime.now(UTC)


@pytest.fixture
def page(tmp_path: Path) -> Page:
    made = make_page(tmp_path)
    made.admin.running = True
    made.local.join()
    made.local.edit_prefs({"advertise_routes": [LAN]})
    return made


def route(prefix: str = LAN, router: str = "", *, approved: bool = False) -> RouteStatus:
    yes = Fact(ok=True, evidence="eth0 is in 192.168.1.0/24.", since=NOW - timedelta(hours=2))
    maybe = Fact(ok=approved, evidence="Not approved yet.", since=NOW)
    return RouteStatus(
        prefix=prefix, router=router, advertised=yes, approved=maybe, serving=maybe, proven=maybe
    )


def test_everything_is_on_one_page(page: Page) -> None:
    phone = PeerStatus(
        public_key="k", dns_name="phone.mesh.", online=True, cur_addr="10.0.0.9:41641"
    )
    page.local.peers = {"k": phone}
    page.local.route_facts = (route(),)
    text = page.signed_in().get("/dashboard").text
    for wanted in ("phone", "10.0.0.9:41641", LAN, "Advertised", "Proven", "2 hours ago"):
        assert wanted in text
    for wanted in ("Processor", "Memory", "Storage", '<svg class="chart"', "kernel WireGuard"):
        assert wanted in text
    assert "style=" not in text


def test_when_nothing_is_wrong_it_says_so(page: Page) -> None:
    assert "Everything works." in page.signed_in().get("/dashboard").text


def test_warnings_say_what_to_do_here(page: Page) -> None:
    page.local.warnings = (
        HealthItem(
            code="route-not-approved",
            title="Route waits for approval",
            text="The route 192.168.1.0/24 is advertised, but not approved.",
            fix="Let an admin run `latchkey admin routes approve x y`.",
            severity="medium",
        ),
    )
    browser = page.signed_in()
    text = browser.get("/dashboard").text
    assert "Approve it below" in text
    assert "Everything works." not in text
    page.admin.running = False
    text = browser.get("/dashboard").text
    assert "Approve it at the coordinator." in text
    assert "latchkey admin" not in text


def test_an_agent_that_is_away_is_one_sentence(page: Page) -> None:
    browser = page.signed_in()
    page.local.broken = AgentNotRunningError("gone")
    reply = browser.get("/dashboard")
    assert reply.status_code == 503
    assert "not running" in reply.text


def test_a_box_that_was_disconnected_offers_to_connect(page: Page) -> None:
    browser = page.signed_in()
    page.local.down()
    text = browser.get("/dashboard").text
    assert "The box is not in its mesh." in text
    assert "Everything works." not in text


def test_devices_that_wait_are_announced(page: Page) -> None:
    page.admin.waiting.append(
        PendingInfo(
            id="ab", hostname="x", os="ios", client_version="", machine_key="m", waiting_s=1
        )
    )
    assert "A device waits to be let in." in page.signed_in().get("/dashboard").text


def test_a_route_is_approved_from_here(page: Page) -> None:
    page.local.route_facts = (route(),)
    browser = page.signed_in()
    assert "Approve: 192.168.1.0/24" in browser.get("/dashboard").text
    reply = post(browser, "/dashboard/approve", {"node": "1", "prefix": LAN})
    assert (reply.status_code, reply.location) == (303, "/dashboard#routes")
    assert ("approve_routes", ("1", (LAN,))) in page.admin.calls


def test_without_a_coordinator_here_nothing_can_be_approved(page: Page) -> None:
    page.admin.running = False
    page.local.route_facts = (route(),)
    browser = page.signed_in()
    assert "/dashboard/approve" not in browser.get("/dashboard").text
    reply = post(browser, "/dashboard/approve", {"node": "1", "prefix": LAN})
    assert reply.status_code == 503
    assert "not running" in reply.text


def test_a_route_of_another_is_tried_from_here(page: Page) -> None:
    page.local.route_facts = (route("192.168.7.0/24", "cabin", approved=True),)
    browser = page.signed_in()
    assert "Try it now" in browser.get("/dashboard").text
    reply = post(browser, "/dashboard/probe", {"prefix": "192.168.7.0/24"})
    assert reply.status_code == 303
    assert ("probe_routes", "192.168.7.0/24") in page.local.calls


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"node": "1", "prefix": "no"},
        {"node": "../1", "prefix": LAN},
        {"node": "", "prefix": LAN},
        {"node": "9" * 19, "prefix": LAN},
        {"node": "1", "prefix": "192.168.1.5/24"},
        {"node": "1", "prefix": "<script>"},
    ],
)
def test_hostile_forms_change_nothing(page: Page, fields: dict[str, str]) -> None:
    browser = page.signed_in()
    before = [call for call in page.admin.calls if call[0] == "approve_routes"]
    assert post(browser, "/dashboard/approve", fields).status_code == 400
    after = [call for call in page.admin.calls if call[0] == "approve_routes"]
    assert after == before
    assert post(browser, "/dashboard/probe", {"prefix": fields.get("prefix", "")}).status_code in (
        400,
        303,
    )


def test_hostile_names_are_shown_as_text(page: Page) -> None:
    evil = "<img src=x onerror=alert(1)>"
    page.local.peers = {"k": PeerStatus(public_key="k", host_name=evil, os=evil)}
    page.local.route_facts = (route(router=evil),)
    text = page.signed_in().get("/dashboard").text
    assert evil not in text
    assert "&lt;img" in text


def test_the_stream_begins_with_every_part(page: Page) -> None:
    browser = page.signed_in()
    reply = browser.get("/dashboard/live", headers={"Accept": "text/event-stream"})
    assert reply.mimetype == "text/event-stream"
    chunks = iter(reply.response)
    told = b"".join(next(chunks) for _ in range(2)).decode()
    for part in ("summary", "health", "routes", "members", "internet", "traffic", "machine"):
        assert f'"id": "{part}"' in told
    reply.close()


def test_a_full_house_gets_no_stream_and_a_stranger_neither(page: Page) -> None:
    browser = page.signed_in()
    page.app.extensions[EXTENSION] = Streams(page.settings.runtime_dir, limit=0)
    assert browser.get("/dashboard/live").status_code == 503
    stranger = page.browser()
    headers = {"Accept": "text/event-stream"}
    assert stranger.get("/dashboard/live", headers=headers).status_code == 401


def test_a_stream_makes_room_when_it_ends(page: Page) -> None:
    browser = page.signed_in()
    page.app.extensions[EXTENSION] = Streams(page.settings.runtime_dir, limit=1)
    for _ in range(2):
        reply = browser.get("/dashboard/live")
        assert reply.status_code == 200
        reply.close()


def test_an_agent_that_goes_away_is_told_on_the_open_page(page: Page) -> None:
    reply = page.signed_in().get("/dashboard/live")
    chunks = iter(reply.response)
    next(chunks)
    page.local.broken = AgentNotRunningError("gone")
    told = next(chunks).decode()
    assert '"id": "trouble"' in told
    assert "not running" in told
    reply.close()
