from ipaddress import ip_network

from appliance.coordinator.policy.selectors import (
    Anyone,
    Auto,
    Network,
    NodeIndex,
    People,
    Tag,
    is_member,
)
from tests.support.snapshots import node, router, snapshot

ALICES = node(1)
TAGGED = node(2, user_id=None, tags=("tag:a", "tag:b"))
STATE = snapshot(ALICES, TAGGED)


def test_people_own_untagged_nodes_only() -> None:
    alice = People(frozenset({"alice"}))
    assert is_member(STATE, ALICES, alice)
    assert not is_member(STATE, TAGGED, alice)
    assert not is_member(STATE, ALICES, People(frozenset({"bob"})))


def test_a_node_has_each_of_its_tags() -> None:
    assert is_member(STATE, TAGGED, Tag("tag:b"))
    assert not is_member(STATE, ALICES, Tag("tag:b"))


def test_every_node_is_a_persons_or_a_tags() -> None:
    for one in (ALICES, TAGGED):
        assert is_member(STATE, one, Auto.MEMBER) != is_member(STATE, one, Auto.TAGGED)


def test_networks_and_everyone_say_nothing_of_who_a_node_is() -> None:
    for selector in (Anyone(), Network(ip_network("0.0.0.0/0")), Auto.SELF, Auto.INTERNET):
        assert not is_member(STATE, ALICES, selector)


def test_a_network_touches_a_node_by_address_or_by_route() -> None:
    index = NodeIndex(snapshot(router(3, "10.33.0.0/16", "0.0.0.0/0", "::/0")))

    def touched(text: str) -> bool:
        return bool(index.nodes(Network(ip_network(text))))

    assert touched("100.64.0.0/24")
    assert touched("10.0.0.0/8")
    assert touched("10.33.1.0/24")
    assert not touched("192.168.0.0/16")
    assert not touched("fd00::/16")


def test_sets_of_nodes_are_those_whom_a_selector_means() -> None:
    index = NodeIndex(STATE)
    assert [n.id for n in index.of(index.nodes(Tag("tag:b")))] == [2]
    assert [n.id for n in index.of(index.nodes(Anyone()))] == [1, 2]
    assert index.nodes(Tag("tag:none")) == 0
    assert index.people == {1: index.bits[1]}
    assert index.exits == 0
