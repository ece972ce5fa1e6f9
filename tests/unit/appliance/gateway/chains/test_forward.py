from __future__ import annotations

from dataclasses import replace

from tests.support.rulesets import OPEN, chain, networks, render_ruleset


def test_subnets_and_internet_are_places_of_their_own() -> None:
    config = replace(
        OPEN, advertised=networks("192.168.1.0/24", "9.9.9.0/24"), serve_exit=True, snat=False
    )
    ruleset = render_ruleset(config)
    [places] = [rule for rule in chain(ruleset, "mesh_onward") if rule.startswith("ip daddr vmap")]
    assert "192.168.1.0-192.168.1.255 : goto to_lan4" in places
    assert "9.9.9.0-9.9.9.255 : goto to_lan4" in places
    assert "1.0.0.0-9.9.8.255 : goto to_internet4" in places
    assert "0x20000" in chain(ruleset, "to_lan4")[1]
    assert "0x40000" in chain(ruleset, "to_internet4")[1]


def test_overlapping_subnets_become_one_range() -> None:
    config = replace(OPEN, advertised=networks("10.0.0.0/8", "10.1.0.0/16", "11.0.0.0/8"))
    places = "ip daddr vmap { 10.0.0.0-11.255.255.255 : goto to_lan4 }"
    assert places in chain(render_ruleset(config), "mesh_onward")


def test_an_exit_node_without_ipv6_says_so() -> None:
    ruleset = render_ruleset(replace(OPEN, serve_exit=True, exit_ipv6=False))
    assert chain(ruleset, "to_internet6") == ["jump admit6", "reject with icmpv6 no-route"]
    assert "accept" in chain(ruleset, "to_internet4")[1]
    [refusal] = chain(ruleset, "no_ipv6_rules")
    assert refusal.endswith("meta l4proto 6 reject with tcp reset")
    assert "no_ipv6" not in render_ruleset(replace(OPEN, serve_exit=True))


def test_only_entering_networks_enter_and_only_where_routes_lead() -> None:
    config = replace(
        OPEN,
        advertised=networks("192.168.1.0/24"),
        routes=networks("10.9.0.0/16"),
        entering=networks("192.168.1.0/24"),
    )
    rules = chain(render_ruleset(config), "into_mesh")
    assert any(
        "ip saddr 192.168.1.0-192.168.1.255 ip daddr 10.9.0.0-10.9.255.255" in rule
        for rule in rules
    )
    assert rules[-1] == "counter drop"
