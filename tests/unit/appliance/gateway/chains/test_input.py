from __future__ import annotations

from dataclasses import replace

from appliance.protocol.tailcfg import FilterRule, NetPortRange
from tests.support.rulesets import CLOSED, chain, render_ruleset


def test_only_users_of_the_exit_reach_its_dns() -> None:
    public = NetPortRange(ip="0.0.0.0-255.255.255.255")
    rules = (
        FilterRule(src_ips=("100.64.0.2",), dst_ports=(public,)),
        FilterRule(src_ips=("100.64.0.3",), dst_ports=(NetPortRange(ip="9.9.9.9"),)),
    )
    config = replace(CLOSED, filter=rules, serve_exit=True, exit_dns_port=8053)
    [dns] = [rule for rule in chain(render_ruleset(config), "mesh_to_us") if "8053" in rule]
    assert "ip saddr 100.64.0.2 " in dns
    assert "8053" not in render_ruleset(replace(config, serve_exit=False))
