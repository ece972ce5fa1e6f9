from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.gateway.ranges import (
    EMPTY,
    Range,
    everything,
    merged,
    of_networks,
    parse,
    render,
    without,
)
from appliance.protocol.errors import ProtocolError

SMALL = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: Range(*sorted(pair))),
    max_size=6,
)


def members(ranges: tuple[Range, ...]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(SMALL)
def test_merging_keeps_the_members_and_leaves_gaps(ranges: list[Range]) -> None:
    result = merged(ranges)
    assert members(result) == members(tuple(ranges))
    assert all(a.last + 1 < b.first for a, b in itertools.pairwise(result))


@given(SMALL, SMALL)
def test_cutting_out_is_the_difference_of_sets(left: list[Range], right: list[Range]) -> None:
    result = without(merged(left), merged(right))
    assert members(result) == members(tuple(left)) - members(tuple(right))
    assert result == merged(result)


def test_networks_of_the_other_family_are_left_out() -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert of_networks(networks, 4) == (Range(10 << 24, (11 << 24) - 1),)
    assert of_networks(networks[:1], 6) == EMPTY


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("100.64.0.1", "100.64.0.1"),
        ("10.0.0.0/8", "10.0.0.0-10.255.255.255"),
        ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9"),
        ("10.0.0.1-10.0.0.1", "10.0.0.1"),
        ("2eff::1-2eff::800", "2eff::1-2eff::800"),
        ("fd7a::/16", "fd7a::-fd7a:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_the_forms_of_a_filter_rule_are_read(text: str, rendered: str) -> None:
    version, ranges = parse(text)
    assert render(ranges, version) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "10.0.0.1/8",
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-::1",
        "1-2-3",
        "10.0.0.1-10.0.0.2-10.0.0.3",
        "cap:x",
        "printer",
        "10.0.0.1; flush ruleset",
        "fe80::1%eth0",
        "0x0a000001",
        " 10.0.0.1",
    ],
)
def test_anything_else_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse(text)


def test_everything_is_one_range() -> None:
    assert render(everything(4), 4) == "0.0.0.0-255.255.255.255"
    assert parse("::/0") == (6, everything(6))
