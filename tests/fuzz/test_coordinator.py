"""Whatever the text or bytes, the coordinator's own readers return a value or their one error."""

import json
import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.coordinator.auth.preauth import check_key
from appliance.coordinator.errors import CoordinatorError, RefusedError, SettingsError
from appliance.coordinator.pings import _parse_response
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


@given(
    st.fixed_dictionaries(
        {"action": st.sampled_from(["accept", "deny"])},
        optional={
            "src": st.lists(SELECTORS, max_size=3),
            "dst": st.lists(SELECTORS | TARGETS | st.just("*:*"), max_size=3),
            "proto": st.sampled_from(["", "tcp", "icmp", "999"]) | st.text(max_size=4),
        },
    )
)
def test_a_policy_is_one_that_answers_for_every_node_or_a_policy_error(entry: dict) -> None:
    document = {"groups": {"group:g": ["a@"]}, "hosts": {"h": "10.0.0.9"}}
    document |= {"tagOwners": {"tag:t": []}, "acls": [entry]}
    try:
        policy = policy_of(json.dumps(document))
    except PolicyError:
        return
    for viewer in STATE.nodes.values():
        policy.rules_for(STATE, viewer)
        policy.may_meet(STATE, viewer, STATE.nodes[1])


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
