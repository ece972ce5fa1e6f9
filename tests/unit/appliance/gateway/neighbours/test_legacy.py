from __future__ import annotations

from pathlib import Path

from appliance.gateway.neighbours.chains import Chain, ChainName, Hook, Rule
from appliance.gateway.neighbours.legacy import families, is_in_use, parse_listing, render

LISTING = """\
-P INPUT ACCEPT
-P FORWARD DROP
-P OUTPUT ACCEPT
-N DOCKER-USER
-A INPUT -p udp -m udp --dport 41641 -m comment --comment "latchkey: WireGuard port 41641" -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -i eth0 -j DROP
-A FORWARD -j DOCKER-USER
"""
"""As iptables-legacy 1.8.9 shows it."""


def name(chain: str) -> ChainName:
    return ChainName("legacy ip", "filter", chain)


def test_a_listing_is_read_like_any_other_table() -> None:
    chains, rules = parse_listing("legacy ip", LISTING)
    assert chains == [
        Chain(name("INPUT"), Hook.INPUT),
        Chain(name("FORWARD"), Hook.FORWARD, drops=True),
        Chain(name("OUTPUT")),
        Chain(name("DOCKER-USER")),
    ]
    ours, end = rules[name("INPUT")]
    assert (ours.handle, ours.comment) == (1, "latchkey: WireGuard port 41641")
    assert end == Rule(2, jump="REJECT", is_end=True)
    assert [(rule.jump, rule.is_end) for rule in rules[name("FORWARD")]] == [
        ("DROP", False),
        ("DOCKER-USER", False),
    ]


def test_a_line_that_cannot_be_read_is_passed_over() -> None:
    assert parse_listing("legacy ip", '-A INPUT "open\n-P\n\n-A\n') == ([], {})


def test_the_last_numbers_go_first_so_that_the_others_stay_right() -> None:
    assert render(name("INPUT"), (1, 3), ["-I INPUT 1 -j ACCEPT"]) == (
        "*filter\n-D INPUT 3\n-D INPUT 1\n-I INPUT 1 -j ACCEPT\nCOMMIT\n"
    )


def test_only_families_with_a_loaded_table_are_asked(tmp_path: Path) -> None:
    assert families(tmp_path) == []
    (tmp_path / "ip_tables_names").write_text("nat\n")
    (tmp_path / "ip6_tables_names").write_text("nat\nfilter\n")
    assert families(tmp_path) == ["legacy ip6"]


def test_a_table_of_address_translation_alone_sees_only_first_packets(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path)
    (tmp_path / "ip_tables_names").write_text("nat\n")
    assert not is_in_use(tmp_path)
    (tmp_path / "ip6_tables_names").write_text("nat\nmangle\n")
    assert is_in_use(tmp_path)
