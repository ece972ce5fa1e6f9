from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from appliance.adminapi.errors import AdminApiError
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import Fact, Prefs, RouteStatus
from tests.support.webui import EXIT, LAN, SERVER_URL, Page, make_page, post
from webui.views.networks import Wishes, check

FORM = {"network": LAN, "snat": "yes"}


def founder(directory: Path) -> Page:
    page = make_page(directory)
    page.claimed()
    page.local.own_coordinator = page.local.own_coordinator.__class__(
        configured=True, server_url=SERVER_URL
    )
    page.admin.running = True
    page.local.state = Prefs(control_url=SERVER_URL)
    page.local.join()
    return page


def member(directory: Path, url: str = "https://mesh.example.org") -> Page:
    page = make_page(directory)
    page.local.state = Prefs(control_url=url)
    page.local.join()
    return page


def logged_in(page: Page) -> FlaskClient:
    browser = page.browser()
    page.clock[0] += 61
    reply = post(browser, "/login", {"password": "correct horse battery"})
    assert reply.status_code == 303
    return browser


def test_the_home_network_is_chosen_at_first_and_the_others_are_not(tmp_path: Path) -> None:
    text = logged_in(founder(tmp_path)).get("/networks").text
    assert f'value="{LAN}" checked' in text
    assert 'value="10.20.0.0/24" aria' in text
    assert 'value="172.17.0.0/16" disabled' in text
    assert "Containers or virtual machines of this box use it" in text
    assert "The same network" not in text


def test_both_sides_of_a_network_are_told_apart(tmp_path: Path) -> None:
    page = founder(tmp_path)
    [home, *_] = page.local.found
    other = msgspec.structs.replace(home, prefix="fd4c:7a11::/64", addresses=("fd4c:7a11::5",))
    page.local.found = (home, other)
    text = logged_in(page).get("/networks").text
    assert text.count("Your home network") == 1
    assert text.count("The same network, by its IPv6 addresses.") == 1


def test_what_is_offered_is_approved_where_the_mesh_is_ours(tmp_path: Path) -> None:
    page = founder(tmp_path)
    reply = post(logged_in(page), "/networks", FORM | {"exit_node": "yes"})
    assert reply.location == "/devices", "the next step of the setup"
    approved = {route.prefix for route in page.admin.members[0].routes if route.approved}
    assert approved == {LAN, *EXIT}


def test_later_the_page_comes_back_and_says_that_it_is_done(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)
    post(browser, "/networks", FORM)
    reply = post(browser, "/networks", FORM | {"exit_node": "yes"}, follow_redirects=True)
    assert "What is offered here is approved" in reply.text
    assert "One step is left" not in reply.text


def test_offering_nothing_is_a_decision_too(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)
    assert browser.get("/").location == "/networks"
    assert post(browser, "/networks", {"snat": "yes"}).location == "/devices"
    assert browser.get("/").location == "/dashboard"
    assert page.local.state.advertise_routes == ()


def test_every_wish_reaches_the_agent(tmp_path: Path) -> None:
    page = founder(tmp_path)
    fields = {"network": [LAN, "auto"], "other": "10.5.0.0/24, 10.6.0.0/24;10.5.0.0/24"}
    post(logged_in(page), "/networks", fields)
    prefs = page.local.state
    assert prefs.advertise_routes == (LAN, "auto", "10.5.0.0/24", "10.6.0.0/24")
    assert not prefs.snat_subnet_routes
    assert not prefs.advertise_exit_node


def test_the_form_shows_what_is_offered(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)
    page.local.edit_prefs({"advertise_routes": ["10.20.0.0/24", "10.5.0.0/24"]})
    text = browser.get("/networks").text
    assert 'value="10.20.0.0/24" checked' in text
    assert f'value="{LAN}" checked' not in text
    assert 'value="10.5.0.0/24"' in text


def test_a_coordinator_that_is_away_leaves_the_approval_for_later(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)
    page.admin.running = False
    assert post(browser, "/networks", FORM).location == "/networks#approval"
    text = browser.get("/networks").text
    assert "/networks/approve" in text, "it is our own coordinator all the same"
    assert post(browser, "/networks/approve", {}).status_code == 503
    page.admin.running = True
    page.admin.advertise(page.local.state)
    text = browser.get("/networks").text
    assert "One step is left" in text
    assert "/networks/approve" in text
    assert post(browser, "/networks/approve", {}).location == "/networks?done=saved"
    assert "One step is left" not in browser.get("/networks").text


def test_a_route_that_never_arrives_is_not_waited_for_without_end(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)
    page.admin.advertise = lambda _prefs: None  # type: ignore[method-assign,assignment]
    before = page.clock[0]
    assert post(browser, "/networks", FORM).location == "/networks#approval"
    assert page.clock[0] - before < 12


def test_a_coordinator_that_refuses_is_explained(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)

    def refuse(_node: str, _prefixes: object) -> None:
        raise AdminApiError("The policy does not let it.", "refused")

    page.admin.approve_routes = refuse  # type: ignore[method-assign,assignment]
    reply = post(browser, "/networks", FORM)
    assert reply.status_code == 409
    assert "The policy does not let it." in reply.text
    assert f'value="{LAN}" checked' in reply.text


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://controlplane.tailscale.com", "https://login.tailscale.com/admin/machines"),
        ("https://mesh.example.org", f"sudo latchkey admin routes approve latchkey {LAN} exit"),
        ("https://mesh.example.org", f"--routes {LAN},0.0.0.0/0,::/0"),
    ],
)
def test_elsewhere_the_page_says_who_has_to_approve_and_how(
    tmp_path: Path, url: str, words: str
) -> None:
    page = member(tmp_path, url)
    browser = page.claimed()
    reply = post(browser, "/networks", FORM | {"exit_node": "yes"})
    assert reply.location == "/networks#approval"
    assert words in browser.get("/networks").text


def test_an_approval_elsewhere_is_noticed(tmp_path: Path) -> None:
    page = member(tmp_path)
    browser = page.claimed()
    post(browser, "/networks", FORM)
    before = browser.get("/networks/state").json
    assert before == {"state": LAN}
    assert f'data-state="{LAN}"' in browser.get("/networks").text
    yes = Fact(ok=True)
    page.local.route_facts = (
        RouteStatus(prefix=LAN, advertised=yes, approved=yes, serving=yes, proven=yes),
    )
    assert browser.get("/networks/state").json != before
    assert "One step is left" not in browser.get("/networks").text


@pytest.mark.parametrize(
    "other", ["x", "10.0.0.1/24", "10.0.0.0", "0.0.0.0/0", "::/0", "10.0.0.0/33", "<b>/8"]
)
def test_what_is_no_network_is_said_at_its_field(tmp_path: Path, other: str) -> None:
    page = founder(tmp_path)
    reply = post(logged_in(page), "/networks", FORM | {"other": other})
    assert reply.status_code == 422
    assert 'id="other-error"' in reply.text
    assert page.local.state.advertise_routes == ()


def test_what_the_agent_refuses_changes_nothing(tmp_path: Path) -> None:
    page = founder(tmp_path)
    reply = post(logged_in(page), "/networks", FORM | {"other": "192.168.0.0/16"})
    assert reply.status_code == 422
    assert "overlap" in reply.text
    assert page.local.state.advertise_routes == ()


def test_a_box_without_a_mesh_has_no_networks_to_offer(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    assert page.claimed().get("/networks").location == "/"


def test_there_is_a_limit(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    many = ",".join(f"10.{n}.0.0/16" for n in range(40))
    with page.app.test_request_context():
        assert "other" in check(Wishes(other=many))
        assert check(Wishes(chosen=("auto", LAN))) == {}


def test_a_box_that_finds_no_network_says_so(tmp_path: Path) -> None:
    page = founder(tmp_path)
    page.local.found = ()
    assert "No network was found." in logged_in(page).get("/networks").text


def test_an_agent_that_breaks_off_is_a_sentence(tmp_path: Path) -> None:
    page = founder(tmp_path)
    browser = logged_in(page)

    def fail(_changes: object) -> None:
        raise LocalApiError("The agent broke off: reset")

    page.local.edit_prefs = fail  # type: ignore[method-assign,assignment]
    reply = post(browser, "/networks", FORM)
    assert reply.status_code == 502
    assert "The agent broke off: reset" in reply.text
