from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest

from appliance.coordinator import registration
from appliance.coordinator.auth import preauth
from appliance.coordinator.errors import RefusedError
from appliance.coordinator.ipam import Pool
from appliance.coordinator.model import PreAuthKey, Snapshot
from appliance.coordinator.registration import Applicant, Grant, Intent, Terms
from appliance.coordinator.state import settle
from appliance.protocol.tailcfg import Hostinfo, RegisterAuth, RegisterRequest
from tests.support.snapshots import LATER, NOW, machine_key, node, node_key, snapshot

TERMS = Terms(Pool())
SECRET = bytes(32)
KEY = PreAuthKey(id="0123456789ab", secret_hash=preauth.hash_secret(SECRET), user_id=1, created=NOW)
KEY_TEXT = preauth.key_text(KEY.id, SECRET)
AUTH = RegisterAuth(auth_key=KEY_TEXT)
PAST = datetime.fromtimestamp(123, UTC)


def ask(number: int, **changes: object) -> RegisterRequest:
    return RegisterRequest(version=131, node_key=node_key(number), **changes)


def judge(state: Snapshot, machine: int, request: RegisterRequest) -> Intent:
    return registration.judge(state, machine_key(machine), request, NOW)


def applicant(number: int, machine: int | None = None, **changes: object) -> Applicant:
    found = Applicant(
        machine_key(number if machine is None else machine),
        node_key(number),
        Hostinfo(hostname="box"),
        131,
    )
    return replace(found, **changes)


def test_a_known_key_is_welcome_without_proof() -> None:
    assert judge(snapshot(node(1)), 1, ask(1)) is Intent.REFRESH


def test_a_known_key_is_welcome_with_a_used_up_pre_auth_key() -> None:
    spent = replace(KEY, used=NOW)
    assert judge(snapshot(node(1), keys=(spent,)), 1, ask(1, auth=AUTH)) is Intent.REFRESH


def test_an_expired_key_must_be_renewed_whatever_it_brings() -> None:
    expired = snapshot(node(1, key_expiry=NOW))
    assert judge(expired, 1, ask(1)) is Intent.RENEW
    assert judge(expired, 1, ask(1, auth=AUTH)) is Intent.RENEW


def test_a_new_key_needs_a_pre_auth_key_or_an_admin() -> None:
    assert judge(snapshot(), 1, ask(1, auth=AUTH)) is Intent.ADMIT
    assert judge(snapshot(), 1, ask(1)) is Intent.ASK
    assert judge(snapshot(), 1, ask(1, auth=RegisterAuth())) is Intent.ASK


def test_an_expiry_in_the_past_is_a_logout_before_anything_else() -> None:
    assert judge(snapshot(node(1)), 1, ask(1, auth=AUTH, expiry=PAST)) is Intent.LOGOUT
    assert judge(snapshot(), 1, ask(1, expiry=PAST)) is Intent.LOGOUT


@pytest.mark.parametrize("expiry", [PAST, LATER])
def test_a_node_key_of_another_machine_is_refused_and_its_owner_unharmed(
    expiry: datetime,
) -> None:
    victim = snapshot(node(1), keys=(KEY,))
    for request in (ask(1), ask(1, auth=AUTH), ask(1, expiry=expiry)):
        with pytest.raises(RefusedError, match="belongs to another machine"):
            judge(victim, 666, request)
    with pytest.raises(RefusedError, match="belongs to another machine"):
        registration.admit(victim, applicant(1, machine=666), Grant(1), TERMS, NOW)


def test_a_request_without_a_node_key_is_refused() -> None:
    with pytest.raises(RefusedError, match="no node key"):
        judge(snapshot(), 1, RegisterRequest(version=131, node_key=node_key(0).zero()))


def test_a_pre_auth_key_admits_a_node_of_its_user_and_is_spent() -> None:
    after, admitted = registration.admit_with_key(
        snapshot(node(1), keys=(KEY,)), applicant(2), KEY_TEXT, TERMS, NOW
    )
    assert admitted.user_id == 1
    assert (admitted.id, admitted.ipv4) == (2, IPv4Address("100.64.0.2"))
    assert admitted.name == "box"
    assert admitted.preauth_key_id == KEY.id
    assert admitted.key_expiry is None
    assert after.keys[KEY.id].used == NOW
    with pytest.raises(RefusedError, match="has been used"):
        registration.admit_with_key(after, applicant(3), KEY_TEXT, TERMS, NOW)


def test_a_tagged_key_admits_in_the_name_of_its_tags() -> None:
    tagged = replace(KEY, tags=("tag:server",))
    terms = Terms(Pool(), key_lifetime=timedelta(days=1))
    _, admitted = registration.admit_with_key(
        snapshot(keys=(tagged,)), applicant(1), KEY_TEXT, terms, NOW
    )
    assert (admitted.user_id, admitted.tags) == (None, ("tag:server",))
    assert admitted.key_expiry is None


def test_a_persons_node_expires_when_the_settings_say_so() -> None:
    terms = Terms(Pool(), key_lifetime=timedelta(days=1))
    _, admitted = registration.admit(snapshot(), applicant(1), Grant(1), terms, NOW)
    assert admitted.key_expiry == NOW + timedelta(days=1)


@pytest.mark.parametrize("by_key", [True, False])
def test_ephemeral_is_what_the_key_or_the_client_says(by_key: bool) -> None:
    key = replace(KEY, ephemeral=by_key)
    _, admitted = registration.admit_with_key(
        snapshot(keys=(key,)), applicant(1, ephemeral=not by_key), KEY_TEXT, TERMS, NOW
    )
    assert admitted.ephemeral


def test_a_new_key_of_the_same_machine_and_user_stays_the_same_node() -> None:
    before = snapshot(node(1, key_expiry=NOW, approved_routes=frozenset()), node(2))
    after, admitted = registration.admit(before, applicant(9, machine=1), Grant(1), TERMS, LATER)
    assert (admitted.id, admitted.ipv4, admitted.name) == (1, node(1).ipv4, "node1")
    assert admitted.node_key == node_key(9)
    assert admitted.key_expiry is None
    assert after.node_by_key(node_key(1)) is None
    assert after.node_by_key(node_key(9)) == admitted
    assert len(after.nodes) == 2


def test_another_user_on_the_same_machine_is_another_node() -> None:
    after, admitted = registration.admit(
        snapshot(node(1)), applicant(9, machine=1), Grant(2), TERMS, NOW
    )
    assert admitted.id == 2
    assert after.node_by_key(node_key(1)) == node(1)


def test_names_are_unique() -> None:
    state = snapshot()
    names = []
    for number in (1, 2, 3):
        state, admitted = registration.admit(state, applicant(number), Grant(1), TERMS, NOW)
        names.append(admitted.name)
    assert names == ["box", "box-1", "box-2"]


def test_a_deleted_nodes_number_and_address_are_not_used_again_at_once() -> None:
    state, first = registration.admit(snapshot(), applicant(1), Grant(1), TERMS, NOW)
    state, second = registration.admit(
        state.without_nodes([first.id]), applicant(2), Grant(1), TERMS, NOW
    )
    assert second.id != first.id
    assert second.ipv4 != first.ipv4


def test_logging_out_expires_the_key() -> None:
    after = settle(registration.log_out(snapshot(node(1)), node_key(1), NOW), NOW)
    assert after.expired == {1}
    assert registration.log_out(after, node_key(1), LATER) is after
    assert registration.log_out(after, node_key(5), LATER) is after


def test_an_ephemeral_node_that_logs_out_is_deleted() -> None:
    after = registration.log_out(snapshot(node(1, ephemeral=True)), node_key(1), NOW)
    assert after.nodes == {}


def test_a_node_may_shorten_its_keys_life_but_not_extend_it() -> None:
    state = snapshot(node(1, key_expiry=LATER))
    sooner = registration.refresh(state, ask(1, expiry=LATER - timedelta(minutes=1)))
    assert sooner.nodes[1].key_expiry == LATER - timedelta(minutes=1)
    assert registration.refresh(state, ask(1, expiry=LATER + timedelta(days=1))) is state
    never = snapshot(node(1))
    assert registration.refresh(never, ask(1, expiry=LATER)).nodes[1].key_expiry == LATER


def test_a_refresh_with_nothing_new_changes_nothing() -> None:
    state = snapshot(node(1))
    assert registration.refresh(state, ask(1)) is state
