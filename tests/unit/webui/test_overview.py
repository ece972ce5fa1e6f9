from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.adminapi.errors import NotAllowedError
from appliance.localapi.types import (
    CoordinatorSettings,
    Fact,
    HealthItem,
    PeerStatus,
    Prefs,
    RouteStatus,
    Status,
)
from tests.support.webtexts import speaking
from tests.support.webui import SERVER_URL, FakeAdmin, make_page
from webui.machine import Machine
from webui.overview import exit_sentence, look_up, observe, registry_of
from webui.services import services

MACHINE = Machine(1.0, 1, 2, 1, 2, None)


@pytest.fixture(autouse=True)
def speaking_english() -> Iterator[None]:
    with speaking("en"):
        yield


def sentence(prefs: dict[str, Any], *routes: RouteStatus, **peer: Any) -> str:
    peers = {"k": PeerStatus(dns_name="cabin.mesh.", **peer)} if peer else {}
    status = Status(version="1", backend_state="Running", routes=routes, peers=peers)
    return exit_sentence(status, Prefs(**prefs))


def own_exit(*, serving: bool) -> RouteStatus:
    yes, fact = Fact(ok=True), Fact(ok=serving)
    return RouteStatus(prefix="exit", advertised=yes, approved=fact, serving=fact, proven=fact)


def test_the_way_to_the_internet_is_one_sentence() -> None:
    assert "is no exit node" in sentence({})
    offered = {"advertise_exit_node": True}
    assert "not yet one" in sentence(offered, own_exit(serving=False))
    assert "from here" in sentence(offered, own_exit(serving=True))
    assert "through cabin" in sentence({"exit_node": "cabin"}, exit_node=True)
    assert "held back" in sentence({"exit_node": "cabin"}, exit_node=False)


def test_without_a_coordinator_here_there_is_no_registry_and_no_trouble() -> None:
    found = look_up(FakeAdmin(running=False))
    assert (found.here, found.trouble) == (False, None)


def test_a_coordinator_that_refuses_is_trouble() -> None:
    found = look_up(FakeAdmin(running=True, broken=NotAllowedError("You may not.")))
    assert not found.here
    assert found.trouble is not None


@pytest.mark.parametrize("role", [{"configured": True}, {"by_hand": True}])
def test_a_coordinator_of_our_own_that_does_not_run_is_trouble(
    tmp_path: Path, role: dict[str, bool]
) -> None:
    page = make_page(tmp_path)
    page.local.own_coordinator = CoordinatorSettings(**role)
    with page.app.app_context():
        found = registry_of(services())
    assert not found.here
    assert found.trouble is not None
    assert "not running" in found.trouble.sentence


def test_where_none_was_wanted_its_absence_is_no_trouble(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    with page.app.app_context():
        assert registry_of(services()).trouble is None


def test_what_follows_from_a_coordinator_that_is_away_is_not_said_thrice(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.local.own_coordinator = CoordinatorSettings(configured=True)
    page.local.state = Prefs(control_url=SERVER_URL)
    page.local.warnings = tuple(
        HealthItem(code=code, severity="medium", title=code, text=text, fix="")
        for code, text in (
            ("coordinator-unreachable", "The coordinator cannot be reached."),
            ("relay-unreachable", "Relay 192.168.1.5 cannot be reached: Connection refused."),
            ("relay-unreachable", "Relay far.example cannot be reached: Connection refused."),
        )
    )
    with page.app.app_context():
        seen = observe(services(), MACHINE)
    assert [item.text for item in seen.warnings] == [page.local.warnings[2].text]
