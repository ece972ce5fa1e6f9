"""Whatever the text or bytes, the coordinator's own readers return a value or their one error."""

import json
import string
from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.auth.preauth import check_key
from appliance.coordinator.autoapprove import Ourselves, approve_everything
from appliance.coordinator.errors import CoordinatorError, RefusedError, SettingsError
from appliance.coordinator.pings import _parse_response
from appliance.coordinator.policy.check import check_policy
from appliance.coordinator.policy.engine import Policy
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.hujson import parse_hujson
from appliance.coordinator.policy.load import policy_of
from appliance.coordinator.routes import parse_approval
from appliance.coordinator.settings import parse_settings
from tests.support.snapshots import NOW, node, router, snapshot

STATE = snapshot(node(1), router(2, "10.0.0.0/8"))
HUJSON = st.text(alphabet='{}[],:"/*\\ \n01ae' + string.ascii_lowercase, max_size=80)
SELECTORS = st.sampled_from(
    ["*", "a@", "tag:t", "group:g", "10.0.0.1", "h", "autogroup:self", "autogroup:internet", "é"]
) | st.text(max_size=12)
TARGETS = st.builds(lambda host, ports: f"{host}:{ports}", SELECTORS, st.text(max_size=6))


@given(HUJSON)
def test_hujson_is_a_value_or_a_policy_error(text: str) -> None:
    with suppress(PolicyError):
        parse_hujson(text)


ACLS = st.fixed_dictionaries(
    {"action": st.sampled_from(["accept", "deny"])},
    optional={
        "src": st.lists(SELECTORS, max_size=3),
        "dst": st.lists(SELECTORS | TARGETS | st.just("*:*"), max_size=3),
        "proto": st.sampled_from(["", "tcp", "icmp", "999"]) | st.text(max_size=4),
    },
)
SERVICES = st.sampled_from(["*", "443", "tcp:80-90", "icmp:*", "udp:"]) | st.text(max_size=8)
GRANTS = st.fixed_dictionaries(
    {"src": st.lists(SELECTORS, max_size=3), "dst": st.lists(SELECTORS, max_size=3)},
    optional={"ip": st.lists(SERVICES, max_size=3)},
)
APPROVERS = st.fixed_dictionaries(
    {},
    optional={
        "routes": st.dictionaries(
            st.sampled_from(["10.0.0.0/8", "::/0"]) | st.text(max_size=8),
            st.lists(SELECTORS, max_size=2),
            max_size=2,
        ),
        "exitNode": st.lists(SELECTORS, max_size=2),
    },
)


def policy_or_place(text: str) -> tuple[Policy | None, tuple[int, int]]:
    try:
        return policy_of(text), (0, 0)
    except PolicyError as error:
        return None, (error.line, error.column)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "acls": st.lists(ACLS, max_size=2),
            "grants": st.lists(GRANTS, max_size=2),
            "autoApprovers": APPROVERS,
        },
    )
)
def test_a_policy_is_one_that_answers_for_every_node_or_an_error_with_its_place(
    entries: dict,
) -> None:
    document = {
        "groups": {"group:g": ["a@"]},
        "hosts": {"h": "10.0.0.9"},
        "tagOwners": {"tag:t": []},
    }
    policy, place = policy_or_place(json.dumps(document | entries))
    if policy is None:
        assert place > (0, 0)
        return
    reach = policy.reach(STATE)
    for viewer in STATE.nodes.values():
        reach.rules_for(viewer)
        for other in STATE.nodes:
            assert reach.may_meet(viewer.id, other) == reach.may_meet(other, viewer.id)
            assert reach.may_meet(viewer.id, other) or not reach.may_open(viewer.id, other)
        reach.may_use(viewer.id, ip_network("10.0.0.0/8"))
    approve_everything(STATE, policy.said.approvers, Ourselves())
    check_policy(STATE, policy)


@given(st.text(max_size=120) | st.from_regex(r"lkauth-[0-9a-f]{12}-[0-9a-f]{60,68}"))
def test_no_text_is_a_key_that_nobody_made(text: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        check_key({}, text, NOW)
    assert text[30:] == "" or text[30:] not in str(refusal.value)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(b"HTTP/1.1 200 OK\r\n".__add__))
def test_a_nodes_answer_is_read_or_refused(data: bytes) -> None:
    try:
        answer = _parse_response(data)
    except CoordinatorError:
        return
    assert len(answer.body) <= len(data)


@given(st.lists(st.text(max_size=30) | st.ip_addresses().map(str), max_size=3))
def test_an_approval_is_networks_without_host_bits_or_refused(texts: list[str]) -> None:
    try:
        prefixes = parse_approval(texts)
    except CoordinatorError:
        return
    assert all(prefix.network_address == prefix[0] for prefix in prefixes)


@given(st.text(max_size=60), st.sampled_from(["listen", "base_domain", "policy_file", "x"]))
def test_a_settings_file_is_settings_or_a_sentence(value: str, key: str) -> None:
    text = f'server_url = "https://vpn.example.org"\n{key} = "{value}"\n'
    for candidate in (text, value):
        with suppress(SettingsError):
            parse_settings(candidate)
