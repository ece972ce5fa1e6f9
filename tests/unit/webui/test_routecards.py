from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from appliance.adminapi.types import NodeInfo
from appliance.localapi.types import Fact, PeerStatus, RouteStatus, Status
from tests.support.webtexts import speaking
from tests.support.webui import LAN, NODE_KEY, node, route_of
from webui.routecards import RouteCard, cards_of, offers_of

FACTS = ("advertised", "approved", "serving", "proven")


@pytest.fixture(autouse=True)
def speaking_english() -> Iterator[None]:
    with speaking("en"):
        yield


def route(so_far: int, prefix: str = LAN, router: str = "", **evidence: str) -> RouteStatus:
    facts: dict[str, Any] = {
        name: Fact(ok=number < so_far, evidence=evidence.get(name, ""))
        for number, name in enumerate(FACTS)
    }
    return RouteStatus(prefix=prefix, router=router, **facts)


def status(*routes: RouteStatus) -> Status:
    own = PeerStatus(public_key=NODE_KEY)
    return Status(version="1", backend_state="Running", self_node=own, routes=routes)


def box(*prefixes: str) -> NodeInfo:
    own = node(1, "latchkey", NODE_KEY)
    return msgspec.structs.replace(own, routes=tuple(route_of(own, p) for p in prefixes))


def card(one: RouteStatus, *nodes: NodeInfo) -> RouteCard:
    [found] = cards_of(status(one), nodes)
    return found


@pytest.mark.parametrize(
    ("so_far", "verdict"),
    [(0, "broken"), (1, "waiting"), (2, "broken"), (3, "serving"), (4, "proven")],
)
def test_the_verdict_is_the_first_state_that_is_missing(so_far: int, verdict: str) -> None:
    assert card(route(so_far)).verdict == verdict


def test_all_four_states_are_shown_in_order_with_their_evidence() -> None:
    rows = card(route(2, serving="The kernel has no route into the tunnel for it.")).facts
    assert [row.name for row in rows] == list(FACTS)
    assert [row.ok for row in rows] == [True, True, False, False]
    assert rows[2].evidence == "The kernel has no route into the tunnel for it."


def test_what_waits_can_be_approved_where_the_coordinator_is() -> None:
    waiting = route(1, approved="An admin must approve it: `latchkey admin routes approve x y`.")
    here = card(waiting, box(LAN))
    assert here.approvable == "1"
    assert here.facts[1].evidence == "It waits for your approval."
    elsewhere = card(waiting)
    assert elsewhere.approvable == ""
    assert elsewhere.facts[1].evidence == "It must be approved at the coordinator."


def test_a_route_of_another_node_can_be_tried_when_it_serves() -> None:
    assert card(route(3, router="cabin")).probeable
    assert not card(route(2, router="cabin")).probeable
    assert not card(route(3)).probeable


def test_what_others_offer_and_nobody_approved_is_listed_an_exit_once() -> None:
    cabin = node(5, "cabin")
    prefixes = ("0.0.0.0/0", "192.168.7.0/24", "::/0")
    cabin = msgspec.structs.replace(cabin, routes=tuple(route_of(cabin, p) for p in prefixes))
    found = offers_of(status(), (box(LAN), cabin))
    assert [(offer.node, offer.prefix) for offer in found] == [
        ("cabin", "192.168.7.0/24"),
        ("cabin", "exit"),
    ]
