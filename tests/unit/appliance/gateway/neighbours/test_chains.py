"""Rows of the kernel (Linux 6.18), of rules that iptables-nft 1.8.9 and nft 1.0.6 made."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway.neighbours.chains import (
    Chain,
    ChainName,
    Hook,
    Rule,
    parse_chain,
    parse_owned_table,
    parse_rule,
)
from appliance.host.netlink import attribute, attribute_text, attribute_u32, nested

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="rows of a small-endian host")

TABLE = bytes.fromhex(
    "0100000b060001006600000008000300000000010c00040000000000000000020800020000000000"
)
FORWARD = bytes.fromhex(
    "0200000b0b00010066696c74657200000c000300464f5257415244000c000200000000000000000114000400"
    "0800010000000002080002000000000008000500000000000b00070066696c74657200001c0008000c000200"
    "00000000000000000c000100000000000000000008000a00000000010800060000000001"
)
DOCKER_USER = bytes.fromhex(
    "0200000b0b00010066696c746572000010000300444f434b45522d55534552000c0002000000000000000002"
    "0800060000000003"
)
JUMP = bytes.fromhex(
    "0200000b0b00010066696c74657200000c000200464f5257415244000c000300000000000000000370000400"
    "2c0001000c000100636f756e746572001c0002000c00010000000000000000000c0002000000000000000000"
    "400001000e000100696d6d6564696174650000002c0002000800010000000000200002001c00020008000100"
    "fffffffd10000200444f434b45522d5553455200"
)
REJECT = bytes.fromhex(
    "0200000b0b00010066696c746572000010000200444f434b45522d55534552000c0003000000000000000005"
    "0c0006000000000000000004640004002c0001000c000100636f756e746572001c0002000c00010000000000"
    "000000000c0002000000000000000000340001000b0001007461726765740000240002000b00010052454a45"
    "4354000008000200000000000c0003000600000000000000"
)
OF_NFT = bytes.fromhex(
    "0100000b06000100660000000a000200696e7075740000000c0003000000000000000002e400040024000100"
    "090001006d6574610000000014000200080002000000001008000100000000012c00010008000100636d7000"
    "20000200080001000000000108000200000000000c0003000500010011000000340001000c0001007061796c"
    "6f6164002400020008000100000000010800020000000002080003000000000208000400000000022c000100"
    "08000100636d700020000200080001000000000108000200000000000c00030006000100a2a9000030000100"
    "0e000100696d6d6564696174650000001c0002000800010000000000100002000c0002000800010000000001"
    "25000700001f6c617463686b65793a2057697265477561726420706f727420343136343100000000"
)
SOME_DROP = bytes.fromhex(
    "0100000b06000100660000000a000200696e7075740000000c00030000000000000000030c00060000000000"
    "000000029000040024000100090001006d657461000000001400020008000200000000060800010000000001"
    "3800010008000100636d70002c00020008000100000000010800020000000000180003001400010065746830"
    "000000000000000000000000300001000e000100696d6d6564696174650000001c0002000800010000000000"
    "100002000c0002000800010000000000"
)
LAST_DROP = bytes.fromhex(
    "0100000b06000100660000000a000200696e7075740000000c00030000000000000000040c00060000000000"
    "00000003780004002c0001000c000100636f756e746572001c0002000c00010000000000000000000c000200"
    "000000000000000018000100080001006c6f67000c0002000800050000000004300001000e000100696d6d65"
    "64696174650000001c0002000800010000000000100002000c0002000800010000000000"
)
ROWS = [TABLE, FORWARD, DOCKER_USER, JUMP, REJECT, OF_NFT, SOME_DROP, LAST_DROP]


def test_a_chain_on_a_hook_says_where_it_stands_and_what_it_does_at_its_end() -> None:
    name = ChainName("ip", "filter", "FORWARD")
    assert parse_chain(FORWARD, set()) == Chain(
        name, Hook.FORWARD, drops=True, meets_forwarded=True
    )
    owned = parse_chain(FORWARD, {(2, "filter")})
    assert owned is not None
    assert owned.is_owned


def test_a_chain_that_only_others_lead_to_has_no_hook() -> None:
    assert parse_chain(DOCKER_USER, set()) == Chain(ChainName("ip", "filter", "DOCKER-USER"))


def test_chains_of_bridges_and_of_arp_are_none_of_ours() -> None:
    assert parse_chain(b"\x07" + FORWARD[1:], set()) is None


def test_an_owned_table_is_told_from_one_that_anybody_may_change() -> None:
    assert parse_owned_table(TABLE) is None
    owned = TABLE[:-8] + bytes.fromhex("0800020000000002")
    assert parse_owned_table(owned) == (1, "f")


def test_a_jump_names_where_it_leads() -> None:
    assert parse_rule(JUMP) == ("FORWARD", Rule(3, jump="DOCKER-USER"))


def test_a_comment_of_nft_is_read_and_what_the_rule_compares_with() -> None:
    rule = Rule(2, "latchkey: WireGuard port 41641", constants=(b"\x11", b"\xa2\xa9"))
    assert parse_rule(OF_NFT) == ("input", rule)


def test_a_comment_of_iptables_is_read() -> None:
    text = b"latchkey: admitted".ljust(256, b"\0")
    data = nested(2, [attribute_text(1, "comment"), attribute_u32(2, 0), attribute(3, text)])
    rule = nested(4, [nested(1, [attribute_text(1, "match"), data])])
    row = bytes([2, 0, 0, 0]) + attribute_text(2, "FORWARD") + rule
    assert parse_rule(row) == ("FORWARD", Rule(0, "latchkey: admitted"))


def test_only_a_rule_that_stops_everything_ends_a_chain() -> None:
    assert parse_rule(LAST_DROP)[1].is_end
    assert parse_rule(REJECT)[1].is_end
    assert not parse_rule(SOME_DROP)[1].is_end, "other interfaces go on"
    assert not parse_rule(JUMP)[1].is_end


@given(st.sampled_from(ROWS), st.data())
def test_a_cut_or_damaged_row_is_read_without_harm(row: bytes, data: st.DataObject) -> None:
    cut = row[4 : data.draw(st.integers(4, len(row)))]
    place = data.draw(st.integers(0, max(0, len(cut) - 1)))
    damaged = row[:4] + cut[:place] + data.draw(st.binary(max_size=4)) + cut[place:]
    parse_rule(damaged)
    parse_chain(damaged, set())
    parse_owned_table(damaged)


def chain_row(family: int, kind: str, hook: int) -> bytes:
    """A chain on a hook, as the kernel describes it."""
    where = nested(4, [attribute(1, hook.to_bytes(4, "big"))])
    name = attribute_text(1, "t") + attribute_text(3, "c") + attribute_text(7, kind)
    return bytes([family, 0, 0, 0]) + name + where


@pytest.mark.parametrize(
    ("family", "kind", "hook", "meets"),
    [
        (2, "filter", 0, True),
        (10, "filter", 2, True),
        (1, "filter", 4, True),
        (1, "filter", 5, True),
        (2, "filter", 1, False),
        (2, "filter", 3, False),
        (2, "nat", 4, False),
        (2, "route", 3, False),
        (5, "filter", 0, True),
        (5, "filter", 1, False),
    ],
)
def test_only_some_chains_meet_every_forwarded_packet(
    family: int, kind: str, hook: int, meets: bool
) -> None:
    chain = parse_chain(chain_row(family, kind, hook), set())
    assert chain is not None
    assert chain.meets_forwarded is meets
    if family == 5:
        assert chain.hook is None, "its hooks have other numbers"
