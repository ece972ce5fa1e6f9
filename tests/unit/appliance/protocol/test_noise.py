import json
from pathlib import Path

import pytest

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePrivate, MachinePublic
from appliance.protocol.noise import Initiator, TransportCipher, respond

VECTORS = json.loads((Path(__file__).parents[3] / "vectors/noise.json").read_text())
PROLOGUE = b"Tailscale Control Protocol v113"


def private(name: str) -> MachinePrivate:
    return MachinePrivate(bytes.fromhex(VECTORS[f"{name}_priv"]))


CLIENT, CLIENT_EPHEMERAL = private("client_static"), private("client_ephemeral")
SERVER, SERVER_EPHEMERAL = private("server_static"), private("server_ephemeral")
MESSAGE_1 = bytes.fromhex(VECTORS["initiation"])[5:]
MESSAGE_2 = bytes.fromhex(VECTORS["response"])[3:]


def initiator() -> Initiator:
    return Initiator(CLIENT, SERVER.public(), PROLOGUE, CLIENT_EPHEMERAL)


@pytest.mark.parametrize(
    "name", ["client_static", "client_ephemeral", "server_static", "server_ephemeral"]
)
def test_the_keys_of_the_vectors_belong_together(name: str) -> None:
    assert private(name).public().raw.hex() == VECTORS[f"{name}_pub"]


def test_the_initiator_reproduces_the_vector() -> None:
    handshake = initiator()
    assert handshake.message_1 == MESSAGE_1
    established = handshake.finish(MESSAGE_2)
    assert established.peer == SERVER.public()
    assert established.handshake_hash.hex() == VECTORS["handshake_hash"]


def test_the_responder_reproduces_the_vector() -> None:
    message_2, established = respond(SERVER, PROLOGUE, SERVER_EPHEMERAL, MESSAGE_1)
    assert message_2 == MESSAGE_2
    assert established.peer == CLIENT.public()
    assert established.handshake_hash.hex() == VECTORS["handshake_hash"]


def test_the_split_keys_are_those_of_the_vector() -> None:
    _, server = respond(SERVER, PROLOGUE, SERVER_EPHEMERAL, MESSAGE_1)
    client = initiator().finish(MESSAGE_2)
    sealed = TransportCipher(bytes.fromhex(VECTORS["client_to_server_key"])).encrypt(b"x")
    assert client.sender.encrypt(b"x") == sealed
    assert server.receiver.decrypt(sealed) == b"x"


def test_the_transport_counts_big_endian() -> None:
    sender = initiator().finish(MESSAGE_2).sender
    records = [b"\x04\0\x15" + sender.encrypt(b"hello") for _ in range(2)]
    assert [record.hex() for record in records] == [
        VECTORS["client_record_0_hello"],
        VECTORS["client_record_1_hello"],
    ]


def test_a_handshake_for_another_key_is_refused() -> None:
    other = MachinePrivate.from_seed(bytes(range(32)))
    with pytest.raises(ProtocolError, match="made for another key"):
        respond(other, PROLOGUE, SERVER_EPHEMERAL, MESSAGE_1)


def test_a_handshake_of_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError):
        respond(SERVER, b"Tailscale Control Protocol v114", SERVER_EPHEMERAL, MESSAGE_1)


def test_every_changed_byte_of_the_first_message_is_noticed() -> None:
    for at in range(len(MESSAGE_1)):
        changed = MESSAGE_1[:at] + bytes((MESSAGE_1[at] ^ 1,)) + MESSAGE_1[at + 1 :]
        with pytest.raises(ProtocolError):
            respond(SERVER, PROLOGUE, SERVER_EPHEMERAL, changed)


def test_every_changed_byte_of_the_answer_is_noticed() -> None:
    for at in range(len(MESSAGE_2)):
        changed = MESSAGE_2[:at] + bytes((MESSAGE_2[at] ^ 1,)) + MESSAGE_2[at + 1 :]
        with pytest.raises(ProtocolError):
            initiator().finish(changed)


def test_messages_of_another_length_are_refused() -> None:
    with pytest.raises(ProtocolError, match="96 bytes"):
        respond(SERVER, PROLOGUE, SERVER_EPHEMERAL, MESSAGE_1 + b"\0")
    with pytest.raises(ProtocolError, match="48 bytes"):
        initiator().finish(MESSAGE_2[:-1])


def test_an_ephemeral_key_of_low_order_is_refused() -> None:
    with pytest.raises(ProtocolError):
        respond(SERVER, PROLOGUE, SERVER_EPHEMERAL, bytes(32) + MESSAGE_1[32:])
    with pytest.raises(ProtocolError, match="not a usable machine key"):
        Initiator(CLIENT, MachinePublic.zero(), PROLOGUE, CLIENT_EPHEMERAL)


def test_a_cipher_is_dead_after_a_forged_record() -> None:
    sender, receiver = TransportCipher(bytes(32)), TransportCipher(bytes(32))
    good = sender.encrypt(b"hello")
    with pytest.raises(ProtocolError, match="does not open"):
        receiver.decrypt(good[:-1] + bytes((good[-1] ^ 1,)))
    with pytest.raises(ProtocolError, match="dead"):
        receiver.decrypt(good)


def test_a_record_shorter_than_its_tag_is_refused() -> None:
    with pytest.raises(ProtocolError, match="does not open"):
        TransportCipher(bytes(32)).decrypt(bytes(15))


def test_a_repeated_record_is_refused() -> None:
    sender, receiver = TransportCipher(bytes(32)), TransportCipher(bytes(32))
    record = sender.encrypt(b"hello")
    assert receiver.decrypt(record) == b"hello"
    with pytest.raises(ProtocolError):
        receiver.decrypt(record)
