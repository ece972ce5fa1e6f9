"""TS2021: the encrypted channel between a node and the coordinator.

The node asks for it by HTTP: POST /ts2021 with ``Upgrade: tailscale-control-protocol`` and the
initiation, base64, in ``X-Tailscale-Handshake``. After the 101 both speak frames:

==========  =============================================================  ===============
initiation  version (2) | 01 | length 96 (2) | Noise message 1             node, 101 bytes
response    02 | length 48 (2) | Noise message 2                           coordinator, 51
error       03 | length (2) | text, not authenticated                      instead of it
record      04 | length (2) | ciphertext with its tag                      both, <= 4096
==========  =============================================================  ===============

The version is the node's capability version and enters the handshake's prologue. The
plaintext of all records is one byte stream of HTTP/2; before it the coordinator may send an
early payload: ff ff ff 54 53 | length (4) | JSON ``{"nodeKeyChallenge": "chalpub:…"}``.

Source: tailscale control/controlbase and control/ts2021, 2026-08. Pure: the caller supplies
the ephemeral keys.
"""

import binascii
from base64 import b64decode, b64encode
from typing import Final

import msgspec

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import ChallengePublic, MachinePrivate, MachinePublic
from appliance.protocol.noise import (
    MESSAGE_1_SIZE,
    MESSAGE_2_SIZE,
    TAG_SIZE,
    Established,
    Initiator,
    respond,
)

UPGRADE: Final = "tailscale-control-protocol"
HANDSHAKE_HEADER: Final = "X-Tailscale-Handshake"
PATH: Final = "/ts2021"

INITIATION_SIZE: Final = 5 + MESSAGE_1_SIZE
RESPONSE_SIZE: Final = 3 + MESSAGE_2_SIZE
MAX_FRAME_SIZE: Final = 4096
MAX_PLAINTEXT_SIZE: Final = MAX_FRAME_SIZE - 3 - TAG_SIZE

# Ours: the reference reads up to 10 MiB, but the JSON has 90 bytes and nothing else is planned.
MAX_EARLY_PAYLOAD_SIZE: Final = 64 * 1024

_INITIATION: Final = 1
_RESPONSE: Final = 2
_ERROR: Final = 3
_RECORD: Final = 4
_EARLY_MAGIC: Final = b"\xff\xff\xffTS"
_EARLY_HEADER_SIZE: Final = 9
_EARLY_KEY: Final = "nodeKeyChallenge"


class Session:
    """An established channel: plaintext in and out, record by record.

    ``peer`` is the other side's machine key and ``version`` the node's capability version.
    """

    __slots__ = ("_buffer", "_established", "version")

    def __init__(self, established: Established, version: int) -> None:
        self._established = established
        self._buffer = bytearray()
        self.version = version

    @property
    def peer(self) -> MachinePublic:
        """The machine key the other side has proven to hold."""
        return self._established.peer

    @property
    def handshake_hash(self) -> bytes:
        """The hash both sides share; differs for every connection."""
        return self._established.handshake_hash

    def encode_data(self, plaintext: bytes) -> bytes:
        """Seal bytes of any number into as many records as they need."""
        encrypt = self._established.sender.encrypt
        frames = bytearray()
        for start in range(0, len(plaintext), MAX_PLAINTEXT_SIZE):
            ciphertext = encrypt(plaintext[start : start + MAX_PLAINTEXT_SIZE])
            frames += _encode_frame(_RECORD, ciphertext)
        return bytes(frames)

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes as they arrive and return the plaintext of all records now complete.

        Buffers less than one record. A ``ProtocolError`` ends the session for good.
        """
        buffer = self._buffer
        buffer += data
        decrypt = self._established.receiver.decrypt
        plaintext: list[bytes] = []
        at = 0
        while len(buffer) - at >= 3:
            end = at + 3 + int.from_bytes(buffer[at + 1 : at + 3])
            if buffer[at] != _RECORD or end - at > MAX_FRAME_SIZE:
                raise ProtocolError("not a record: the other side does not speak TS2021")
            if end > len(buffer):
                break
            plaintext.append(decrypt(bytes(buffer[at + 3 : end])))
            at = end
        del buffer[:at]
        return b"".join(plaintext)


class ClientHandshake:
    """The node's half: send ``header_value`` with the upgrade, then ``finish``."""

    __slots__ = ("_initiator", "initiation", "version")

    def __init__(
        self,
        private: MachinePrivate,
        server: MachinePublic,
        version: int,
        ephemeral: MachinePrivate,
    ) -> None:
        self.version = version
        self._initiator = Initiator(private, server, _prologue(version), ephemeral)
        self.initiation = version.to_bytes(2) + _encode_frame(
            _INITIATION, self._initiator.message_1
        )

    @property
    def header_value(self) -> str:
        """The value of ``X-Tailscale-Handshake``."""
        return b64encode(self.initiation).decode()

    def finish(self, frame: bytes) -> Session:
        """Read the coordinator's whole response or error frame (see ``frame_size``)."""
        if frame[:1] == bytes((_ERROR,)):
            text = frame[3:].decode("utf-8", "replace")
            reason = "".join(char for char in text if char.isprintable())[:200]
            raise ProtocolError(f"the coordinator refused the Noise handshake: {reason}")
        if frame[:3] != _encode_frame(_RESPONSE, bytes(MESSAGE_2_SIZE))[:3]:
            raise ProtocolError("not a handshake response: the other side does not speak TS2021")
        return Session(self._initiator.finish(frame[3:]), self.version)


def frame_size(header: bytes) -> int:
    """Tell from its first 3 bytes how long a frame is; too long is a ``ProtocolError``."""
    size = 3 + int.from_bytes(header[1:3])
    if size > MAX_FRAME_SIZE:
        raise ProtocolError("a frame of TS2021 has at most 4096 bytes")
    return size


def accept_handshake(
    header_value: str, private: MachinePrivate, ephemeral: MachinePrivate
) -> tuple[bytes, Session]:
    """Take the coordinator's half: return the response frame and the session.

    A ``ProtocolError`` when the header is not an initiation made for this key.
    """
    try:
        initiation = b64decode(header_value, validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError(f"{HANDSHAKE_HEADER} is not base64") from None
    expected = _encode_frame(_INITIATION, bytes(MESSAGE_1_SIZE))[:3]
    if len(initiation) != INITIATION_SIZE or initiation[2:5] != expected:
        raise ProtocolError(f"{HANDSHAKE_HEADER} is not a Noise initiation of 101 bytes")
    version = int.from_bytes(initiation[:2])
    message_2, established = respond(private, _prologue(version), ephemeral, initiation[5:])
    return _encode_frame(_RESPONSE, message_2), Session(established, version)


def encode_early_payload(challenge: ChallengePublic) -> bytes:
    """Write the plaintext that the coordinator may send before its first HTTP/2 byte."""
    body = msgspec.json.encode({_EARLY_KEY: challenge.text()})
    return _EARLY_MAGIC + len(body).to_bytes(4) + body


class EarlyPayloadReader:
    """Takes the early payload, when there is one, off the front of the plaintext."""

    __slots__ = ("_buffer", "challenge", "done")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.challenge: ChallengePublic | None = None
        self.done = False

    def receive_data(self, plaintext: bytes) -> bytes:
        """Return the bytes that belong to HTTP/2 (none until that can be told)."""
        if self.done:
            return plaintext
        buffer = self._buffer
        buffer += plaintext
        magic = bytes(buffer[: len(_EARLY_MAGIC)])
        if magic != _EARLY_MAGIC[: len(magic)]:
            return self._finish(0)
        if len(buffer) < _EARLY_HEADER_SIZE:
            return b""
        end = _EARLY_HEADER_SIZE + int.from_bytes(buffer[5:_EARLY_HEADER_SIZE])
        if end > MAX_EARLY_PAYLOAD_SIZE:
            raise ProtocolError("the coordinator's early payload is too long")
        if len(buffer) < end:
            return b""
        self.challenge = _parse_early_payload(bytes(buffer[_EARLY_HEADER_SIZE:end]))
        return self._finish(end)

    def _finish(self, start: int) -> bytes:
        rest = bytes(self._buffer[start:])
        self._buffer.clear()
        self.done = True
        return rest


def _parse_early_payload(body: bytes) -> ChallengePublic | None:
    try:
        text = msgspec.json.decode(body, type=dict[str, object]).get(_EARLY_KEY)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError("the coordinator's early payload is not JSON") from None
    return ChallengePublic.parse(text) if isinstance(text, str) else None


def _prologue(version: int) -> bytes:
    return f"Tailscale Control Protocol v{version}".encode()


def _encode_frame(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2) + payload
