from __future__ import annotations

from dataclasses import replace

from tests.support.rulesets import OPEN, chain, hooks, render_ruleset


def test_connections_that_end_here_and_were_cut_are_silent() -> None:
    assert "output" not in hooks(render_ruleset(OPEN))
    ruleset = render_ruleset(OPEN, cut=True)
    assert chain(ruleset, "output") == ["ct mark and 0x90000 == 0x10000 counter drop"]


def test_the_tunnels_port_is_marked_before_routing_where_routes_could_mislead() -> None:
    config = replace(OPEN, listen_port=5000, fwmark=0x90000, use_exit=True)
    assert chain(render_ruleset(config), "prerouting_rules")[:2] == [
        'iifname { "lo", "latchkey0" } accept',
        "udp dport 5000 meta mark set meta mark and 0xff00ffff or 0x90000 accept",
    ]
