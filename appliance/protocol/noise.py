"""Noise IK: how a node and the coordinator agree on two keys, and use them.

Pattern:  Noise_IK_25519_ChaChaPoly_BLAKE2s, standard. The node (initiator) knows the
          coordinator's static key in advance; neither message has a payload.
Message 1 (96 bytes): ephemeral (32) | sealed static (48) | tag (16)
Message 2 (48 bytes): ephemeral (32) | tag (16)
Transport: ChaCha20-Poly1305 without additional data; the nonce is four zero bytes and a
          **big-endian** counter, where standard Noise counts little-endian. So the library
          does the handshake, and the transport is ours.

Source: Noise specification, revision 34; tailscale control/controlbase, 2026-08. Pure: the
caller supplies the ephemeral keys.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.backends.default.keypairs import KeyPair25519
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseInvalidMessage, NoiseValueError

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePrivate, MachinePublic

MESSAGE_1_SIZE: Final = 96
MESSAGE_2_SIZE: Final = 48
TAG_SIZE: Final = 16
_NAME: Final = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
_EXHAUSTED: Final = 2**64 - 1
_REFUSED: Final = (InvalidTag, NoiseInvalidMessage, NoiseValueError, ValueError)


class TransportCipher:
    """One direction of an established connection; dead after the first failure."""

    __slots__ = ("_aead", "_counter")

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Seal the next record."""
        return self._aead.encrypt(self._next_nonce(), plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Open the next record; a forged, repeated or reordered one is a ``ProtocolError``."""
        try:
            return self._aead.decrypt(self._next_nonce(), ciphertext, None)
        except InvalidTag:
            self._counter = _EXHAUSTED
            raise ProtocolError("a Noise record does not open: the connection is lost") from None

    def _next_nonce(self) -> bytes:
        if self._counter >= _EXHAUSTED:
            raise ProtocolError("this Noise connection is dead: make a new one")
        nonce = self._counter.to_bytes(12)
        self._counter += 1
        return nonce


@dataclass(frozen=True, slots=True)
class Established:
    """What a completed handshake yields; ``peer`` is proven to hold its private key."""

    peer: MachinePublic
    sender: TransportCipher
    receiver: TransportCipher
    handshake_hash: bytes


class Initiator:
    """The node's side: send ``message_1``, then ``finish`` with the answer."""

    __slots__ = ("_noise", "_server", "message_1")

    def __init__(
        self,
        private: MachinePrivate,
        server: MachinePublic,
        prologue: bytes,
        ephemeral: MachinePrivate,
    ) -> None:
        self._server = server
        self._noise = _start(private, prologue, ephemeral, server)
        try:
            self.message_1 = bytes(self._noise.write_message())
        except _REFUSED:
            raise ProtocolError(f"not a usable machine key: {server}") from None

    def finish(self, message_2: bytes) -> Established:
        """Check the coordinator's answer; a ``ProtocolError`` unless it holds the known key."""
        if len(message_2) != MESSAGE_2_SIZE:
            raise ProtocolError("the answer to a Noise handshake has 48 bytes")
        try:
            self._noise.read_message(message_2)
        except _REFUSED:
            raise ProtocolError("the Noise handshake failed: the answer does not open") from None
        return _established(self._noise, self._server)


def respond(
    private: MachinePrivate, prologue: bytes, ephemeral: MachinePrivate, message_1: bytes
) -> tuple[bytes, Established]:
    """Take the coordinator's side: return message 2 and the connection.

    Anything but a handshake made for this key and prologue is a ``ProtocolError``.
    """
    if len(message_1) != MESSAGE_1_SIZE:
        raise ProtocolError("a Noise handshake begins with 96 bytes")
    noise = _start(private, prologue, ephemeral, None)
    state = noise.noise_protocol.handshake_state
    try:
        noise.read_message(message_1)
        message_2 = bytes(noise.write_message())
    except _REFUSED:
        raise ProtocolError("the Noise handshake failed: made for another key") from None
    return message_2, _established(noise, MachinePublic(state.rs.public_bytes))


def _start(
    private: MachinePrivate,
    prologue: bytes,
    ephemeral: MachinePrivate,
    server: MachinePublic | None,
) -> NoiseConnection:
    noise = NoiseConnection.from_name(_NAME)
    noise.set_prologue(prologue)
    noise.set_keypair_from_private_bytes(Keypair.STATIC, private.raw)
    if server is None:
        noise.set_as_responder()
    else:
        noise.set_as_initiator()
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, server.raw)
    noise.start_handshake()
    # Set here and not by the library's setter, which warns about tests.
    noise.noise_protocol.handshake_state.e = KeyPair25519.from_private_bytes(ephemeral.raw)
    return noise


def _established(noise: NoiseConnection, peer: MachinePublic) -> Established:
    protocol = noise.noise_protocol
    return Established(
        peer,
        TransportCipher(bytes(protocol.cipher_state_encrypt.k)),
        TransportCipher(bytes(protocol.cipher_state_decrypt.k)),
        bytes(protocol.handshake_hash),
    )
