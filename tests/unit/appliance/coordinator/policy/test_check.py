import json
from ipaddress import ip_address

import pytest

from appliance.coordinator.model import Snapshot
from appliance.coordinator.policy.check import MAX_NOTES, Verdict, check_policy, coordinator_node
from appliance.coordinator.policy.load import policy_of
from tests.support.snapshots import BOB, LATER, NOW, node, router, snapshot

LAPTOP, PHONE, HOME, EXIT, BOBS = 1, 2, 3, 4, 5
STATE = snapshot(
    node(LAPTOP, name="laptop"),
    node(PHONE, name="phone"),
    router(HOME, "192.168.1.0/24", name="home", user_id=None, tags=("tag:gw",)),
    router(EXIT, "0.0.0.0/0", "::/0", name="out", user_id=None, tags=("tag:gw",)),
    node(BOBS, name="bobs", user_id=BOB.id),
)


def accept(src: str, dst: str, **more: object) -> dict:
    return {"action": "accept", "src": [src], "dst": [dst], **more}


def check(*acls: dict, state: Snapshot = STATE, coordinator: str = "", **more: object) -> Verdict:
    text = json.dumps({"tagOwners": {"tag:gw": []}, "acls": acls, **more})
    addresses = [ip_address(coordinator)] if coordinator else []
    return check_policy(state, policy_of(text), addresses)


def locked(verdict: Verdict) -> list[str]:
    return [gateway.node.name for gateway in verdict.gateways if gateway.is_locked]


@pytest.mark.parametrize(
    ("acl", "names"),
    [
        (accept("*", "*:*"), []),
        (accept("alice@", "tag:gw:22"), []),
        (accept("autogroup:member", "tag:gw:*", proto="tcp"), []),
        (accept("100.64.0.2", "tag:gw:80"), []),
        (accept("alice@", "100.64.0.0/24:443"), []),
        (accept("alice@", "100.64.0.3:22"), ["out"]),
        (accept("alice@", "tag:gw:53", proto="udp"), ["home", "out"]),
        (accept("alice@", "192.168.1.0/24:*"), ["home", "out"]),
        (accept("alice@", "autogroup:internet:*"), ["home", "out"]),
        (accept("alice@", "autogroup:self:*"), ["home", "out"]),
        (accept("bob@", "*:*"), ["home", "out"]),
        (accept("tag:gw", "alice@:*"), ["home", "out"]),
        (accept("tag:gw", "tag:gw:*"), ["home", "out"]),
    ],
)
def test_admins_must_get_through_to_every_gateway(acl: dict, names: list[str]) -> None:
    assert locked(check(acl)) == names


def test_no_rules_at_all_lock_everybody_out_and_no_policy_nobody() -> None:
    assert locked(check()) == ["home", "out"]
    assert check().warnings[0] == (
        "No rule lets a device of alice open connections to home (subnet router, 100.64.0.3)."
    )
    assert check_policy(STATE, policy_of("{}")).warnings == ()


def test_members_of_the_admins_group_are_admins() -> None:
    rule = accept("bob@", "*:*")
    assert locked(check(rule, groups={"group:admins": ["bob@"]})) == []
    assert check(rule, groups={"group:admins": ["bob@"]}).admins == ("alice", "bob")
    assert locked(check(rule, groups={"group:friends": ["bob@"]})) == ["home", "out"]


def test_a_gateway_that_is_the_admins_only_device_is_not_locked() -> None:
    alone = snapshot(router(1, "192.168.1.0/24"))
    assert locked(check(state=alone)) == []
    both = snapshot(router(1, "192.168.1.0/24"), node(2))
    assert locked(check(state=both)) == ["node1"]
    assert locked(check(accept("alice@", "autogroup:self:*"), state=both)) == []


def test_expired_devices_and_routes_nobody_approved_do_not_count() -> None:
    state = snapshot(node(1), node(2, key_expiry=NOW), router(3, "10.0.0.0/8", approved=False))
    assert check(state=state).gateways == ()
    expired = snapshot(node(1, key_expiry=NOW), router(3, "10.0.0.0/8", user_id=BOB.id))
    assert locked(check(state=expired)) == []
    assert LATER > NOW


def test_the_coordinators_own_node_is_a_gateway() -> None:
    state = snapshot(node(1), node(2, endpoints=("203.0.113.5:41641",)))
    assert locked(check(state=state, coordinator="203.0.113.5")) == ["node2"]
    assert locked(check(accept("alice@", "100.64.0.2:22"), state=state)) == []
    own = coordinator_node(state, [ip_address("100.64.0.1")])
    assert own is not None
    assert own.id == 1


def test_behind_a_nat_that_several_share_no_node_is_the_coordinators() -> None:
    shared = [node(n, endpoints=("203.0.113.5:41641", "[fd00::5]:41641")) for n in (1, 2)]
    assert coordinator_node(snapshot(*shared), [ip_address("203.0.113.5")]) is None
    assert coordinator_node(snapshot(shared[0]), [ip_address("fd00::5")]) is not None


def test_names_that_mean_nobody_are_noted() -> None:
    verdict = check(
        accept("carol@", "10.9.0.0/16:*"),
        accept("*", "*:*"),
        groups={"group:family": ["alice@", "daev@"]},
    )
    assert verdict.warnings == ()
    assert verdict.notes == (
        "'group:family' has 'daev', who is not a user of this mesh.",
        "'carol' is not a user of this mesh.",
        "Nothing is at 10.9.0.0/16: no node has this address, and no approved route leads there.",
    )
    nowhere = check(accept("alice@", "autogroup:internet:*"), state=snapshot(node(1)))
    assert "no exit node is approved" in nowhere.notes[0]


def test_notes_have_a_limit() -> None:
    many = [accept("*", f"10.0.{n}.0/24:*") for n in range(200)]
    assert len(check(*many).notes) == MAX_NOTES
