"""The chains of firewalld 2.3 (Debian 13) and 1.3 (Debian 12), read and answered."""

from __future__ import annotations

import pytest

from appliance.gateway.neighbours.chains import Chain, ChainName, Rule
from appliance.gateway.neighbours.firewalld import (
    Seen,
    Step,
    is_here,
    is_there,
    observe,
    plan,
    to_read,
)
from appliance.gateway.neighbours.plan import Passage

PASSAGE = Passage("latchkey0", 41641)
TUNNEL = b"latchkey0".ljust(16, b"\0")
PORT = (41641).to_bytes(2, "big")


def chain(name: str) -> ChainName:
    return ChainName("inet", "firewalld", name)


def rules(
    dispatch: str, *, tunnel: str = "", port_in: str = ""
) -> dict[ChainName, tuple[Rule, ...]]:
    entries = [Rule(1, jump="filter_IN_policy_allow-host-ipv6"), Rule(2, jump="filter_IN_public")]
    if tunnel:
        entries.insert(0, Rule(3, jump=f"filter_IN_{tunnel}", constants=(TUNNEL,)))
    found = {chain(dispatch): tuple(entries), chain("filter_IN_public_pre"): ()}
    if port_in:
        rule = Rule(4, constants=(b"\x11", PORT))
        found[chain(f"filter_IN_{port_in}_pre")] = (rule,)
    return found


@pytest.mark.parametrize("dispatch", ["filter_INPUT_POLICIES", "filter_INPUT_ZONES"])
def test_what_is_missing_is_the_tunnels_zone_and_the_port_in_the_others(dispatch: str) -> None:
    seen = observe(rules(dispatch), "latchkey0")
    assert seen.zones == {"public"}
    assert plan(seen, PASSAGE) == (
        Step("trusted", interface="latchkey0"),
        Step("public", port=41641),
    )


def test_what_is_there_needs_no_step() -> None:
    found = rules("filter_INPUT_POLICIES", tunnel="trusted", port_in="public")
    seen = observe(found, "latchkey0")
    assert plan(seen, PASSAGE) == ()
    assert is_there(Step("trusted", interface="latchkey0"), seen)
    assert is_there(Step("public", port=41641), seen)
    assert not is_there(Step("public", port=41642), seen)


def test_an_owners_choice_of_zone_for_the_tunnel_stands() -> None:
    seen = observe(rules("filter_INPUT_POLICIES", tunnel="dmz", port_in="public"), "latchkey0")
    assert seen.zone_of_tunnel == "dmz"
    assert plan(seen, PASSAGE) == (Step("dmz", port=41641),)


def test_an_interface_of_a_similar_name_is_another() -> None:
    seen = observe(rules("filter_INPUT_POLICIES", tunnel="trusted"), "latchkey")
    assert seen.zone_of_tunnel is None


def test_only_its_own_chains_count() -> None:
    other = {ChainName("inet", "filter", "filter_INPUT_ZONES"): (Rule(1, jump="filter_IN_x"),)}
    assert observe(other, "latchkey0") == Seen(frozenset(), None, {})
    assert not is_here([Chain(ChainName("inet", "filter", "INPUT"))])
    assert is_here([Chain(chain("filter_INPUT"))])


def test_few_chains_are_read() -> None:
    names = ["filter_INPUT", "filter_INPUT_ZONES", "filter_IN_public", "filter_IN_public_pre"]
    found = to_read([Chain(chain(name)) for name in names])
    assert found == [chain("filter_INPUT_ZONES"), chain("filter_IN_public_pre")]


def test_each_step_is_a_command_that_an_owner_could_type() -> None:
    assert Step("trusted", interface="latchkey0").command("add") == (
        "firewall-cmd",
        "--zone=trusted",
        "--add-interface=latchkey0",
    )
    assert Step("public", port=41641).command("remove") == (
        "firewall-cmd",
        "--zone=public",
        '--remove-rich-rule=rule priority="-5170" port port="41641" protocol="udp" accept',
    )
