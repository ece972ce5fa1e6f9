import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.stun import (
    Response,
    encode_request,
    encode_response,
    is_stun,
    parse_request,
    parse_response,
)

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/stun.json").read_text())
REQUEST = bytes.fromhex(VECTORS["request"]["hex"])

tx_ids = st.binary(min_size=12, max_size=12)
addresses = st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None)
endpoints = st.builds(AddrPort, addresses, st.integers(0, 65535))


@pytest.mark.parametrize("vector", VECTORS["responses"], ids=lambda v: v["name"])
def test_responses_of_other_servers_are_read(vector: dict) -> None:
    response = parse_response(bytes.fromhex(vector["hex"]))
    assert response.tx_id.hex() == vector["tx_id"]
    assert str(response.address) == vector["address"]


@pytest.mark.parametrize("vector", VECTORS["answers"], ids=lambda v: v["address"])
def test_our_answers_are_those_of_the_reference(vector: dict) -> None:
    answer = encode_response(bytes.fromhex(vector["tx_id"]), AddrPort.parse(vector["address"]))
    assert answer.hex() == vector["hex"]


def test_our_request_is_that_of_the_reference() -> None:
    assert encode_request(bytes.fromhex(VECTORS["request"]["tx_id"])) == REQUEST
    assert parse_request(REQUEST).hex() == VECTORS["request"]["tx_id"]


@pytest.mark.parametrize(
    ("datagram", "answer"),
    [
        (b"", False),
        (bytes(20), False),
        (bytes(4) + b"\x21\x12\xa4\x42" + bytes(11), False),
        (bytes(4) + b"\x21\x12\xa4\x42" + bytes(12), True),
        (bytes(4) + b"\x21\x12\xa4\x42" + bytes(80), True),
        (b"\xf0" + bytes(3) + b"\x21\x12\xa4\x42" + bytes(12), False),
        (b"\x40" + bytes(3) + b"\x21\x12\xa4\x42" + bytes(12), False),
        (b"\x20" + bytes(3) + b"\x21\x12\xa4\x42" + bytes(12), True),
    ],
)
def test_stun_is_told_from_everything_else(datagram: bytes, answer: bool) -> None:
    assert is_stun(datagram) is answer
    assert is_stun(memoryview(datagram)) is answer


def test_every_truncated_request_is_refused() -> None:
    for size in range(len(REQUEST)):
        with pytest.raises(ProtocolError):
            parse_request(REQUEST[:size])


def test_every_changed_bit_that_matters_is_noticed_in_a_request() -> None:
    for at in set(range(len(REQUEST))) - {2, 3}:  # the reference does not look at the length
        changed = REQUEST[:at] + bytes((REQUEST[at] ^ 1,)) + REQUEST[at + 1 :]
        with pytest.raises(ProtocolError):
            parse_request(changed)


def test_a_request_from_other_software_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not from a node"):
        parse_request(REQUEST.replace(b"tailnode", b"webphone"))


def test_a_response_cut_short_is_refused() -> None:
    answer = encode_response(bytes(12), AddrPort.parse("192.0.2.1:7"))
    for size in range(len(answer)):
        with pytest.raises(ProtocolError):
            parse_response(answer[:size])


def test_a_response_without_an_address_is_refused() -> None:
    with pytest.raises(ProtocolError, match="names no address"):
        parse_response(b"\x01\x01\0\0\x21\x12\xa4\x42" + bytes(12))


def test_an_address_of_an_unknown_family_is_refused() -> None:
    answer = bytearray(encode_response(bytes(12), AddrPort.parse("192.0.2.1:7")))
    answer[25] = 3
    with pytest.raises(ProtocolError, match="family"):
        parse_response(bytes(answer))


@given(tx_ids, endpoints)
def test_a_response_is_read_back(tx_id: bytes, address: AddrPort) -> None:
    assert parse_response(encode_response(tx_id, address)) == Response(tx_id, address)


@given(tx_ids)
def test_a_request_is_read_back(tx_id: bytes) -> None:
    assert parse_request(encode_request(tx_id)) == tx_id
