"""Cases from the recorded vectors of the hosted service (names in the tests), and our own."""

import json

import pytest

from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import INTERNET, Policy
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.load import policy_of
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import ANY_PORT, FilterRule, Node, PortRange
from tests.support.policies import ACCEPTED, REFUSED
from tests.support.snapshots import ALICE, BOB, node, router, snapshot

EXIT = ("0.0.0.0/0", "::/0")
STAR = (
    "10.33.0.0/16",
    "100.115.94.0-100.127.255.255",
    "100.64.0.0-100.115.91.255",
    "fd7a:115c:a1e0::/48",
)
SERVER, CLIENT, ROUTER, LAPTOP, TABLET, PHONE, GATE = 1, 2, 3, 4, 5, 6, 7

STATE: Snapshot = snapshot(
    node(SERVER, user_id=None, tags=("tag:server",)),
    node(CLIENT, user_id=None, tags=("tag:client",)),
    router(ROUTER, "10.33.0.0/16", user_id=None, tags=("tag:router",)),
    node(LAPTOP),
    node(TABLET),
    node(PHONE, user_id=BOB.id),
    router(GATE, *EXIT, user_id=None, tags=("tag:exit",)),
)


def accept(*src: str, to: str, **more: object) -> dict:
    return {"action": "accept", "src": list(src), "dst": [to], **more}


def policy(*acls: dict) -> Policy:
    tags = ("tag:server", "tag:client", "tag:router", "tag:exit")
    return policy_of(
        json.dumps(
            {
                "groups": {"group:admins": ["alice@"]},
                "tagOwners": {tag: [] for tag in tags},
                "acls": list(acls),
            }
        )
    )


def rules(made: Policy, viewer: int, state: Snapshot = STATE) -> list[tuple]:
    def readable(rule: FilterRule) -> tuple:
        targets = [
            target.ip
            if (target.ports.first, target.ports.last) == (0, 65535)
            else f"{target.ip} {target.ports.first}-{target.ports.last}"
            for target in rule.dst_ports or ()
        ]
        return (rule.src_ips, targets, rule.ip_proto)

    return [readable(rule) for rule in made.reach(state).rules_for(state.nodes[viewer])]


def peers(made: Policy, viewer: int) -> set[int]:
    reach = made.reach(STATE)
    return {n for n in STATE.nodes if n != viewer and reach.may_meet(viewer, n)}


def ips(*numbers: int) -> tuple[str, ...]:
    found: list[NodeRecord] = [STATE.nodes[number] for number in numbers]
    return tuple(sorted(str(address) for n in found for address in n.addresses))


def own(number: int) -> list[str]:
    return [str(address) for address in STATE.nodes[number].addresses]


def test_everyone_to_everything_w01() -> None:
    made = policy(accept("*", to="*:*"))
    for number in STATE.nodes:
        assert rules(made, number) == [(STAR, ["*"], None)]
    assert peers(made, LAPTOP) == set(STATE.nodes) - {LAPTOP}


def test_only_the_destination_hears_of_a_rule_a03() -> None:
    made = policy(accept("autogroup:member", "tag:client", to="tag:server:22"))
    v4, v6 = own(SERVER)
    expected = (ips(CLIENT, LAPTOP, TABLET, PHONE), [f"{v4} 22-22", f"{v6} 22-22"], None)
    assert rules(made, SERVER) == [expected]
    assert rules(made, CLIENT) == rules(made, LAPTOP) == []
    assert peers(made, SERVER) == {CLIENT, LAPTOP, TABLET, PHONE}
    assert peers(made, LAPTOP) == {SERVER}
    assert peers(made, ROUTER) == set()


def test_ones_own_devices_a04() -> None:
    made = policy(accept("*", to="autogroup:self:*"))
    assert rules(made, LAPTOP) == [(ips(LAPTOP, TABLET), own(LAPTOP), None)]
    assert rules(made, PHONE) == [(ips(PHONE), own(PHONE), None)]
    assert rules(made, SERVER) == []
    assert peers(made, LAPTOP) == {TABLET}
    assert peers(made, PHONE) == set()


def test_the_internet_is_reached_through_exit_nodes_b17() -> None:
    made = policy(accept("alice@", to="autogroup:internet:*"))
    assert rules(made, GATE) == [(ips(LAPTOP, TABLET), list(INTERNET), None)]
    assert rules(made, SERVER) == []
    assert peers(made, GATE) == {LAPTOP, TABLET}
    assert peers(made, PHONE) == set()


def test_without_an_approved_exit_node_there_is_no_internet_a05() -> None:
    made = policy(accept("*", to="autogroup:internet:*"))
    state = snapshot(node(1), router(2, *EXIT, approved=False))
    assert rules(made, 1, state) == rules(made, 2, state) == []
    assert not made.reach(state).may_meet(1, 2)


def test_ports_come_address_by_address_p03() -> None:
    made = policy(accept("*", to="tag:server:22,80,443"))
    v4, v6 = own(SERVER)
    [(_, targets, _)] = rules(made, SERVER)
    assert targets == [f"{ip} {p}-{p}" for ip in (v4, v6) for p in (22, 80, 443)]


def test_a_protocol_stands_in_the_rule_p05() -> None:
    [(_, _, protocols)] = rules(policy(accept("*", to="tag:server:53", proto="udp")), SERVER)
    assert protocols == (17,)


def test_rules_with_the_same_sources_become_one_mr02() -> None:
    made = policy(
        accept("tag:client", to="tag:server:22"), accept("tag:client", to="tag:server:80")
    )
    v4, v6 = own(SERVER)
    assert rules(made, SERVER) == [
        (ips(CLIENT), [f"{v4} 22-22", f"{v6} 22-22", f"{v4} 80-80", f"{v6} 80-80"], None)
    ]


def test_rules_with_other_sources_stay_apart_mr03() -> None:
    made = policy(accept("tag:client", to="tag:server:22"), accept("alice@", to="tag:server:22"))
    assert [sources for sources, _, _ in rules(made, SERVER)] == [
        ips(CLIENT),
        ips(LAPTOP, TABLET),
    ]


def test_the_same_people_by_two_names_are_one_source_mr04() -> None:
    made = policy(accept("group:admins", to="tag:server:22"), accept("alice@", to="tag:server:22"))
    [(_, targets, _)] = rules(made, SERVER)
    assert len(targets) == 4


def test_an_address_nobody_has_reaches_nobody_w04() -> None:
    made = policy(accept("*", to="100.108.74.26:*"))
    assert all(rules(made, number) == [] for number in STATE.nodes)


def test_a_subnet_is_a_rule_of_its_router_a3() -> None:
    made = policy(accept("alice@", to="10.33.7.0/24:80"))
    assert rules(made, ROUTER) == [(ips(LAPTOP, TABLET), ["10.33.7.0/24 80-80"], None)]
    assert peers(made, ROUTER) == {LAPTOP, TABLET}
    assert peers(made, PHONE) == set()


def test_a_secondary_router_has_the_rule_too_e1() -> None:
    made = policy(accept("*", to="192.168.1.0/24:*"))
    both = (router(1, "192.168.1.0/24"), router(2, "192.168.1.0/24"))
    state = snapshot(*both)
    assert rules(made, 1, state) == rules(made, 2, state) != []


def test_hosts_behind_a_router_may_be_sources() -> None:
    made = policy(accept("10.33.0.0/16", to="tag:server:*"))
    assert rules(made, SERVER) == [(("10.33.0.0/16",), own(SERVER), None)]
    assert peers(made, SERVER) == {ROUTER}


def test_no_rules_at_all_is_nothing_at_all() -> None:
    made = policy_of('{"acls": []}')
    assert all(rules(made, number) == [] for number in STATE.nodes)
    assert all(peers(made, number) == set() for number in STATE.nodes)


def test_an_expired_node_is_no_source() -> None:
    made = policy(accept("alice@", to="tag:server:*"))
    state = snapshot(
        node(1, user_id=None, tags=("tag:server",)), node(2, key_expiry=ALICE.created), node(3)
    )
    [(sources, _, _)] = rules(made, 1, state)
    assert sources == tuple(sorted(str(a) for a in node(3).addresses))


@pytest.mark.parametrize("one", sorted(STATE.nodes))
@pytest.mark.parametrize("other", sorted(STATE.nodes))
def test_two_nodes_know_of_each_other_or_neither_does(one: int, other: int) -> None:
    made = policy(
        accept("alice@", to="tag:server:22"),
        accept("tag:client", to="10.33.0.0/16:*"),
        accept("bob@", to="autogroup:internet:*"),
    )
    reach = made.reach(STATE)
    assert reach.may_meet(one, other) == reach.may_meet(other, one)


def shown_filters(view: View) -> dict[str, set[object]]:
    return {
        viewer.name: {
            (
                frozenset(rule.src_ips or ()),
                frozenset(f"{t.ip} {_ports(t.ports)}" for t in rule.dst_ports or ()),
                rule.ip_proto or (),
            )
            for rule in view.rules_for(viewer)
        }
        for viewer in view.snapshot.nodes.values()
    }


def _ports(ports: PortRange) -> str:
    return "*" if ports == ANY_PORT else f"{ports.first}-{ports.last}"


def shown_peers(view: View) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for viewer in view.snapshot.nodes.values():
        seen = [view.peer(viewer, n) for n in view.peers if view.sees(viewer, n)]
        found[viewer.name] = {
            " ".join(sorted([peer.name.partition(".")[0], *map(str, _routes(peer))]))
            for peer in seen
        }
    return found


def _routes(peer: Node) -> set[IPNetwork]:
    return set(peer.allowed_ips or ()) - set(peer.addresses or ())


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_recorded_policy_means_the_same_here(name: str) -> None:
    case = ACCEPTED[name]
    view = case.view(policy_of(case.text))
    filters, peers = shown_filters(view), shown_peers(view)
    assert {name: filters[name] for name in case.filters()} == case.filters()
    assert {name: peers[name] for name in case.peers()} == case.peers()


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_that_was_refused_is_refused_here(name: str) -> None:
    with pytest.raises(PolicyError) as caught:
        policy_of(REFUSED[name].text)
    assert "does not understand" not in str(caught.value)
    assert caught.value.line
