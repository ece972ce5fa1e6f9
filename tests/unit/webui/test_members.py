from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.localapi.types import PeerStatus, Status
from tests.support.webtexts import speaking
from webui.members import Member, members_of

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def speaking_english() -> Iterator[None]:
    with speaking("en"):
        yield


def members(*peers: PeerStatus) -> tuple[Member, ...]:
    found = {peer.public_key: peer for peer in peers}
    return members_of(Status(version="1", backend_state="Running", peers=found), NOW)


def peer(name: str = "phone", **fields: Any) -> PeerStatus:
    return PeerStatus(public_key=name, dns_name=f"{name}.mesh.internal.", **fields)


@pytest.mark.parametrize(
    ("fields", "path", "sentence"),
    [
        (
            {"online": True, "cur_addr": "203.0.113.7:41641", "latency_s": 0.0213, "relay": "home"},
            "direct",
            "Direct connection to 203.0.113.7:41641, 21 ms",
        ),
        (
            {"online": True, "cur_addr": "203.0.113.7:41641"},
            "direct",
            "Direct connection to 203.0.113.7:41641",
        ),
        ({"online": True, "active": True, "relay": "home"}, "relayed", "Through the relay home"),
        ({"online": True, "relay": "home"}, "idle", "Connected; no packets right now"),
        ({"last_seen": NOW - timedelta(days=3)}, "away", "Last seen 3 days ago"),
        ({}, "away", "Not seen yet"),
    ],
)
def test_the_way_of_packets_is_said(fields: dict[str, Any], path: str, sentence: str) -> None:
    [member] = members(peer(**fields))
    assert (member.path, member.sentence) == (path, sentence)


def test_who_is_there_comes_first() -> None:
    found = members(peer("b", online=True), peer("a"), peer("c", online=True))
    assert [member.name for member in found] == ["b", "c", "a"]


def test_systems_have_their_own_spelling_and_offers_are_listed() -> None:
    [member] = members(
        peer(os="iOS", primary_routes=("192.168.7.0/24",), exit_node_option=True, online=True)
    )
    assert member.system == "iOS"
    assert member.offers == ("192.168.7.0/24", "exit")
    assert members(peer(os="plan9"))[0].system == "plan9"
