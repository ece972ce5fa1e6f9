"""Vectors: control.md 13.2 (types/key tests of the reference) and datapath.md 11.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPublic, MachinePublic, NodePrivate, NodePublic

RAW = "50d20b455ecf12bc453f83c2cfdb2a24925d06cf2598dcaa54e91af82ce9f765"


@pytest.mark.parametrize("kind", [MachinePublic, NodePublic, DiscoPublic])
def test_text_is_the_prefix_and_hex_digits(kind: type[NodePublic]) -> None:
    assert kind(bytes.fromhex(RAW)).text() == kind.PREFIX + RAW


def test_upper_case_digits_are_read() -> None:
    assert NodePublic.parse("nodekey:" + RAW.upper()).raw == bytes.fromhex(RAW)


@pytest.mark.parametrize(
    "text",
    ["", RAW, "mkey:" + RAW, "nodekey:" + RAW[:-2], "nodekey:" + RAW + "00", "nodekey:" + "g" * 64],
)
def test_anything_else_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        NodePublic.parse(text)


def test_the_public_half_is_the_one_that_the_reference_computes() -> None:
    private = NodePrivate(bytes(range(0x41, 0x61)))
    assert private.public().raw.hex() == (
        "64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466"
    )


@given(st.binary(min_size=32, max_size=32))
def test_a_seed_becomes_a_clamped_scalar(seed: bytes) -> None:
    raw = NodePrivate.from_seed(seed).raw
    assert raw[0] & 7 == 0
    assert raw[31] & 0xC0 == 0x40


def test_keys_of_different_roles_are_never_equal() -> None:
    raw = bytes(range(32))
    assert NodePublic(raw) != DiscoPublic(raw)
    assert len({NodePublic(raw), DiscoPublic(raw), NodePublic(raw)}) == 2


def test_the_zero_key_is_absent() -> None:
    assert NodePublic.zero().is_zero
    assert not NodePublic(bytes(31) + b"\1").is_zero
