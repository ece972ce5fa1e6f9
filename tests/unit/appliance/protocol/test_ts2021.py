import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import ChallengePublic, MachinePrivate
from appliance.protocol.ts2021 import (
    MAX_FRAME_SIZE,
    ClientHandshake,
    EarlyPayloadReader,
    Session,
    accept_handshake,
    encode_early_payload,
    frame_size,
)

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/noise.json").read_text())
CHALLENGE = ChallengePublic(bytes(range(32)))


def private(name: str) -> MachinePrivate:
    return MachinePrivate(bytes.fromhex(VECTORS[f"{name}_priv"]))


SERVER = private("server_static")


def client_handshake() -> ClientHandshake:
    return ClientHandshake(
        private("client_static"),
        SERVER.public(),
        VECTORS["version"],
        private("client_ephemeral"),
    )


def sessions() -> tuple[Session, Session]:
    """Client's and server's session of one handshake."""
    handshake = client_handshake()
    response, server = accept_handshake(handshake.header_value, SERVER, private("server_ephemeral"))
    return handshake.finish(response), server


def test_the_handshake_reproduces_the_vector() -> None:
    handshake = client_handshake()
    assert handshake.initiation.hex() == VECTORS["initiation"]
    assert handshake.header_value == VECTORS["header_value"]
    response, session = accept_handshake(
        handshake.header_value, SERVER, private("server_ephemeral")
    )
    assert response.hex() == VECTORS["response"]
    assert session.version == 113
    assert session.peer == private("client_static").public()
    assert session.handshake_hash.hex() == VECTORS["handshake_hash"]


def test_records_reproduce_the_vectors_in_both_directions() -> None:
    client, server = sessions()
    assert [client.encode_data(b"hello").hex() for _ in range(2)] == [
        VECTORS["client_record_0_hello"],
        VECTORS["client_record_1_hello"],
    ]
    assert [server.encode_data(b"world").hex() for _ in range(2)] == [
        VECTORS["server_record_0_world"],
        VECTORS["server_record_1_world"],
    ]


@pytest.mark.parametrize(("size", "records"), [(0, 0), (14, 1), (15 * 1024, 4), (30 * 1024, 8)])
def test_writes_are_cut_into_as_many_records_as_the_reference_makes(
    size: int, records: int
) -> None:
    client, server = sessions()
    wire = client.encode_data(bytes(size))
    assert len(wire) == size + records * 19
    assert server.receive_data(wire) == bytes(size)


@given(st.lists(st.binary(max_size=9000), max_size=4), st.integers(1, 5000))
def test_plaintext_survives_any_fragmentation(writes: list[bytes], step: int) -> None:
    client, server = sessions()
    wire = b"".join(map(client.encode_data, writes))
    chunks = (wire[at : at + step] for at in range(0, len(wire), step))
    assert b"".join(map(server.receive_data, chunks)) == b"".join(writes)


def test_an_empty_record_is_accepted() -> None:
    client, server = sessions()
    empty = client._established.sender.encrypt(b"")
    assert server.receive_data(b"\x04\0\x10" + empty) == b""
    assert server.receive_data(client.encode_data(b"next")) == b"next"


@pytest.mark.parametrize("header", [b"\x02\0\x30", b"\x04\xff\xff", b"\x04\x0f\xfe", b"HTT"])
def test_other_frames_and_too_long_records_are_refused(header: bytes) -> None:
    _, server = sessions()
    with pytest.raises(ProtocolError, match="does not speak TS2021"):
        server.receive_data(header)


def test_the_longest_record_is_accepted() -> None:
    client, server = sessions()
    wire = client.encode_data(bytes(4077))
    assert len(wire) == MAX_FRAME_SIZE == frame_size(wire[:3])
    assert server.receive_data(wire) == bytes(4077)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "not base64!",
        VECTORS["header_value"][:-4],
        VECTORS["header_value"] + "AAAA",
        "AHECAGB" + VECTORS["header_value"][7:],
        "AHIBAGB" + VECTORS["header_value"][7:],
    ],
)
def test_a_header_that_is_no_initiation_for_us_is_refused(value: str) -> None:
    with pytest.raises(ProtocolError):
        accept_handshake(value, SERVER, private("server_ephemeral"))


def test_an_error_frame_tells_the_coordinators_reason() -> None:
    with pytest.raises(ProtocolError, match=r"refused the Noise handshake: unknown key$"):
        client_handshake().finish(b"\x03\0\x0bunknown\x00 key\n")


def test_a_response_of_another_kind_is_refused() -> None:
    with pytest.raises(ProtocolError, match="not a handshake response"):
        client_handshake().finish(b"\x04\0\x30" + bytes(48))


def test_frames_too_long_for_the_handshake_are_refused() -> None:
    with pytest.raises(ProtocolError, match="at most 4096"):
        frame_size(b"\x03\x10\x00")


def test_an_early_payload_is_taken_off_the_front() -> None:
    payload = encode_early_payload(CHALLENGE)
    assert payload.startswith(b"\xff\xff\xff\x54\x53\x00\x00\x00")
    reader = EarlyPayloadReader()
    assert reader.receive_data(payload + b"PRI") == b"PRI"
    assert reader.challenge == CHALLENGE
    assert reader.receive_data(b"more") == b"more"


def test_without_an_early_payload_everything_is_passed_on() -> None:
    reader = EarlyPayloadReader()
    settings = bytes.fromhex("000000040000000000")
    assert reader.receive_data(settings) == settings
    assert reader.challenge is None
    assert reader.done


@given(st.integers(1, 40), st.binary(max_size=40), st.booleans())
def test_an_early_payload_is_found_in_any_fragmentation(
    step: int, rest: bytes, present: bool
) -> None:
    reader = EarlyPayloadReader()
    settings = bytes.fromhex("000000040000000000") + rest
    data = (encode_early_payload(CHALLENGE) if present else b"") + settings
    chunks = (data[at : at + step] for at in range(0, len(data), step))
    assert b"".join(map(reader.receive_data, chunks)) == settings
    assert (reader.challenge == CHALLENGE) is present


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xffTS\0\x01\0\0",
        b"\xff\xff\xffTS\0\0\0\x04nope",
        b"\xff\xff\xffTS\0\0\0\x02[]",
        b'\xff\xff\xffTS\0\0\0\x1b{"nodeKeyChallenge":"nope"}',
    ],
)
def test_a_broken_early_payload_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        EarlyPayloadReader().receive_data(data)


def test_an_early_payload_without_a_challenge_is_skipped() -> None:
    reader = EarlyPayloadReader()
    assert reader.receive_data(b"\xff\xff\xffTS\0\0\0\x02{}rest") == b"rest"
    assert reader.challenge is None
