"""The ethtool messages; `tests/netns/gateway/test_profile.py` tries them on a kernel."""

from __future__ import annotations

import sys

import pytest

from appliance.host.ethtool import (
    encode_features_get,
    encode_features_set,
    parse_active_features,
)
from appliance.host.netlink import attribute_text, attribute_u32, nested

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="vectors of a small-endian host")


def test_a_question_names_the_device() -> None:
    # Laid out by hand from the kernel's ethtool-netlink.rst.
    assert encode_features_get("v0") == bytes.fromhex("0b010000 0c000180 07000200 76300000")


def test_a_change_lists_names_and_the_values_of_those_that_are_to_be_on() -> None:
    sent = encode_features_set("v0", {"rx-gro-list": False, "tx": True})
    header = "0c000180 07000200 76300000"
    off = "14000180 10000200" + b"rx-gro-list\0".hex()
    on = "10000180 07000200 74780000 04000300"
    assert sent == bytes.fromhex(f"0c010000 {header} 2c000380 28000380 {off} {on}")


def answer(*names: str) -> bytes:
    bits = [
        nested(1, [attribute_u32(1, n), attribute_text(2, name)]) for n, name in enumerate(names)
    ]
    return bytes([11, 1, 0, 0]) + nested(4, [attribute_u32(2, 64), nested(3, bits)])


def test_an_answer_lists_what_is_on() -> None:
    assert parse_active_features(answer("rx-gro", "tx-gso")) == {"rx-gro", "tx-gso"}


@pytest.mark.parametrize("length", range(60))
def test_a_cut_answer_does_no_harm(length: int) -> None:
    parse_active_features(answer("rx-gro", "tx-gso")[:length])
