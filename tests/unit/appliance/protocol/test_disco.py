import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.addresses import AddrPort
from appliance.protocol.disco import (
    MAX_ENDPOINTS,
    CallMeMaybe,
    DiscoBox,
    Message,
    Ping,
    Pong,
    Unknown,
    encode_message,
    is_disco,
    parse_message,
    parse_sender,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPrivate, DiscoPublic, NodePublic

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/disco.json").read_text())
DATAGRAMS = VECTORS["datagrams"]
A = DiscoPrivate(bytes.fromhex(DATAGRAMS["a_private"]))
B = DiscoPrivate(bytes.fromhex(DATAGRAMS["b_private"]))

tx_ids = st.binary(min_size=12, max_size=12)
node_keys = st.binary(min_size=32, max_size=32).filter(any).map(NodePublic)
addresses = st.ip_addresses().filter(lambda ip: ip.version == 4 or ip.ipv4_mapped is None)
endpoints = st.builds(AddrPort, addresses, st.integers(0, 65535))
pings = st.builds(Ping, tx_ids, st.none() | node_keys, st.integers(0, 1400))
pongs = st.builds(Pong, tx_ids, endpoints)
call_me_maybes = st.builds(CallMeMaybe, st.lists(endpoints, max_size=MAX_ENDPOINTS).map(tuple))
messages = pings | pongs | call_me_maybes


def expected(vector: dict) -> Message:
    match vector["type"]:
        case "ping":
            key = vector["node_key"] and NodePublic(bytes.fromhex(vector["node_key"]))
            return Ping(bytes.fromhex(vector["tx_id"]), key, vector["padding"])
        case "pong":
            return Pong(bytes.fromhex(vector["tx_id"]), AddrPort.parse(vector["source"]))
        case "call-me-maybe":
            return CallMeMaybe(tuple(map(AddrPort.parse, vector["endpoints"])))
        case _:
            return Unknown(vector["kind"])


@pytest.mark.parametrize("vector", VECTORS["inner"], ids=lambda v: v["name"])
def test_inner_messages_of_the_reference_are_read_and_written(vector: dict) -> None:
    message = parse_message(bytes.fromhex(vector["hex"]))
    assert message == expected(vector)
    if not isinstance(message, Unknown):
        assert encode_message(message).hex() == vector["hex"]


def test_the_keys_of_the_vectors_belong_together() -> None:
    assert A.public().raw.hex() == DATAGRAMS["a_public"]
    assert B.public().raw.hex() == DATAGRAMS["b_public"]


def test_a_whole_ping_is_sealed_and_opened_as_the_vector_says() -> None:
    vector = DATAGRAMS["ping_a_to_b"]
    ping = Ping(bytes.fromhex(vector["tx_id"]), NodePublic(bytes.fromhex(vector["node_key"])))
    datagram = DiscoBox(A, B.public()).seal(ping, bytes.fromhex(vector["nonce"]))
    assert datagram.hex() == vector["hex"]
    assert len(datagram) == 124
    assert DiscoBox(B, A.public()).open(datagram) == ping


def test_a_whole_pong_is_sealed_and_opened_as_the_vector_says() -> None:
    vector = DATAGRAMS["pong_b_to_a"]
    pong = Pong(bytes.fromhex(vector["tx_id"]), AddrPort.parse(vector["source"]))
    datagram = DiscoBox(B, A.public()).seal(pong, bytes.fromhex(vector["nonce"]))
    assert datagram.hex() == vector["hex"]
    assert DiscoBox(A, B.public()).open(memoryview(datagram)) == pong


def test_a_whole_call_me_maybe_is_sealed_as_the_vector_says() -> None:
    vector = DATAGRAMS["call_me_maybe_a_to_b"]
    datagram = DiscoBox(A, B.public()).seal(CallMeMaybe(), bytes.fromhex(vector["nonce"]))
    assert datagram.hex() == vector["hex"]


def test_the_sender_is_read_without_opening_the_box() -> None:
    datagram = bytes.fromhex(DATAGRAMS["ping_a_to_b"]["hex"])
    assert parse_sender(datagram) == A.public()


def test_a_box_sealed_for_somebody_else_does_not_open() -> None:
    stranger = DiscoPrivate.from_seed(bytes(range(32)))
    datagram = DiscoBox(A, stranger.public()).seal(CallMeMaybe(), bytes(24))
    with pytest.raises(ProtocolError, match="not sealed for us"):
        DiscoBox(B, A.public()).open(datagram)


def test_every_changed_byte_of_the_box_is_noticed() -> None:
    datagram = bytes.fromhex(DATAGRAMS["call_me_maybe_a_to_b"]["hex"])
    box = DiscoBox(B, A.public())
    for at in range(38, len(datagram)):
        changed = datagram[:at] + bytes((datagram[at] ^ 1,)) + datagram[at + 1 :]
        with pytest.raises(ProtocolError):
            box.open(changed)


def test_every_truncated_datagram_is_refused() -> None:
    datagram = bytes.fromhex(DATAGRAMS["ping_a_to_b"]["hex"])
    box = DiscoBox(B, A.public())
    for size in range(len(datagram)):
        with pytest.raises(ProtocolError):
            box.open(datagram[:size])


def test_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a usable DISCO key"):
        DiscoBox(A, DiscoPublic.zero())


@pytest.mark.parametrize("inner", [b"", b"\x01", b"\x01\0" + bytes(11), b"\x02\0" + bytes(29)])
def test_a_truncated_message_of_a_known_type_is_refused(inner: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_message(inner)


def test_bytes_after_a_known_payload_are_ignored() -> None:
    pong = Pong(bytes(12), AddrPort.parse("192.0.2.1:7"))
    assert parse_message(encode_message(pong) + b"later") == pong


def test_a_later_version_of_call_me_maybe_names_no_endpoints() -> None:
    assert parse_message(b"\x03\x01" + bytes(18)) == CallMeMaybe()
    assert parse_message(b"\x03\x00" + bytes(17)) == CallMeMaybe()


def test_endpoints_beyond_the_limit_are_not_read() -> None:
    many = CallMeMaybe((AddrPort.parse("192.0.2.1:7"),) * (MAX_ENDPOINTS + 1))
    message = parse_message(encode_message(many))
    assert isinstance(message, CallMeMaybe)
    assert len(message.endpoints) == MAX_ENDPOINTS


def test_wireguard_and_stun_are_not_taken_for_disco() -> None:
    assert not is_disco(b"\x04\0\0\0" + bytes(100))
    assert not is_disco(b"TS\xf0\x9f\x92\xac" + bytes(55))
    assert is_disco(b"TS\xf0\x9f\x92\xac" + bytes(56))


@given(messages)
def test_what_is_encoded_is_read_back(message: Ping | Pong | CallMeMaybe) -> None:
    assert parse_message(encode_message(message)) == message


@given(messages, st.binary(min_size=24, max_size=24))
def test_what_is_sealed_is_opened(message: Ping | Pong | CallMeMaybe, nonce: bytes) -> None:
    datagram = DiscoBox(A, B.public()).seal(message, nonce)
    assert is_disco(datagram)
    assert DiscoBox(B, A.public()).open(datagram) == message
