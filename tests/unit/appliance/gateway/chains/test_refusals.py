from __future__ import annotations

from dataclasses import replace

from tests.support.rulesets import OPEN, chain, networks, render_ruleset


def test_the_mesh_ranges_are_ours_alone_except_for_a_providers_neighbours() -> None:
    for name in ("input", "forward"):
        pretended = "ip saddr 100.64.0.0-100.127.255.255 counter drop"
        assert pretended in chain(render_ruleset(OPEN), name)
        shared = replace(OPEN, local_networks=networks("100.64.0.0/11"))
        pretended = "ip saddr 100.96.0.0-100.127.255.255 counter drop"
        assert pretended in chain(render_ruleset(shared), name)
        all_of_it = replace(OPEN, local_networks=networks("100.64.0.0/10"))
        rules = chain(render_ruleset(all_of_it), name)
        assert not [rule for rule in rules if "ip saddr" in rule]
    assert "ip daddr 100.64.0.1 counter drop" in chain(render_ruleset(OPEN), "input")
