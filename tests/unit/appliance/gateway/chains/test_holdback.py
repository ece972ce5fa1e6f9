"""The second lock behind an exit node, as rules."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_interface, ip_network

from appliance.gateway.chains.holdback import hold_back
from appliance.gateway.config import GatewayConfig

BEHIND_EXIT = GatewayConfig(
    interface="latchkey0",
    addresses=(ip_interface("100.64.0.1/32"),),
    listen_port=41641,
    fwmark=0x80000,
    local_networks=frozenset({ip_network("172.17.0.0/16")}),
    use_exit=True,
    lan_access=False,
)


def rules(config: GatewayConfig) -> list[str]:
    return list(hold_back(config))


def test_our_own_packets_come_first_and_a_refusal_last() -> None:
    first, *_, last = rules(BEHIND_EXIT)
    assert first == "meta mark and 0xff0000 == 0x80000 accept"
    assert last == "counter reject"


def test_local_networks_stay_in_reach_and_no_other_address_does() -> None:
    allowed = [rule for rule in rules(BEHIND_EXIT) if "daddr" in rule]
    assert len(allowed) == 1
    assert "ip daddr 172.17.0.0" in allowed[0]


def test_the_cable_keeps_what_an_uplink_cannot_do_without() -> None:
    text = "\n".join(rules(BEHIND_EXIT))
    assert "nd-neighbor-solicit" in text
    assert "udp sport { 67, 68 } udp dport { 67, 68 } accept" in text
    assert "udp sport { 546, 547 } udp dport { 546, 547 } accept" in text


def test_discovery_on_the_lan_passes_only_with_lan_access() -> None:
    assert "224.0.0.0/4" not in "\n".join(rules(BEHIND_EXIT))
    assert "224.0.0.0/4" in "\n".join(rules(replace(BEHIND_EXIT, lan_access=True)))
