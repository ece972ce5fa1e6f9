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

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePrivate, MachinePublic
from appliance.protocol.noise_backend import SodiumBackend, X25519KeyPair
from appliance.protocol.noise_library import NoiseProtocol

MESSAGE_1_SIZE: Final = 96
MESSAGE_2_SIZE: Final = 48
TAG_SIZE: Final = 16
_NAME: Final = b"Noise_IK_25519_ChaChaPoly_BLAKE2s"
_EXHAUSTED: Final = 2**64 - 1
_BACKEND: Final = SodiumBackend()


class TransportCipher:
    """One direction of an established connection; dead after the first failure."""

    __slots__ = ("_counter", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._counter = 0

    def encrypt(self, plaintext: bytes) -> bytes:
        """Seal the next record."""
        nonce = self._next_nonce()
        return crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, None, nonce, self._key)

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Open the next record; a forged, repeated or reordered one is a ``ProtocolError``."""
        nonce = self._next_nonce()
        try:
            return crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, None, nonce, self._key)
        except (CryptoError, ValueError):  # forged, or shorter than a tag
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
            self.message_1 = _write(self._noise)
        except CryptoError:
            raise ProtocolError(f"not a usable machine key: {server}") from None

    def finish(self, message_2: bytes) -> Established:
        """Check the coordinator's answer; a ``ProtocolError`` unless it holds the known key."""
        if len(message_2) != MESSAGE_2_SIZE:
            raise ProtocolError("the answer to a Noise handshake has 48 bytes")
        try:
            _read(self._noise, message_2)
        except CryptoError:
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
    state = noise.handshake_state
    try:
        _read(noise, message_1)
        message_2 = _write(noise)
    except CryptoError:
        raise ProtocolError("the Noise handshake failed: made for another key") from None
    return message_2, _established(noise, MachinePublic(state.rs.public_bytes))


def _start(
    private: MachinePrivate,
    prologue: bytes,
    ephemeral: MachinePrivate,
    server: MachinePublic | None,
) -> NoiseProtocol:
    noise = NoiseProtocol(_NAME, _BACKEND)
    noise.prologue = prologue
    noise.initiator = server is not None
    noise.keypairs["s"] = X25519KeyPair.from_private_bytes(private.raw)
    noise.keypairs["e"] = X25519KeyPair.from_private_bytes(ephemeral.raw)
    if server is not None:
        noise.keypairs["rs"] = X25519KeyPair.from_public_bytes(server.raw)
    noise.initialise_handshake_state()
    return noise


def _write(noise: NoiseProtocol) -> bytes:
    message = bytearray()
    noise.handshake_state.write_message(b"", message)
    return bytes(message)


def _read(noise: NoiseProtocol, message: bytes) -> None:
    noise.handshake_state.read_message(message, bytearray())


def _established(noise: NoiseProtocol, peer: MachinePublic) -> Established:
    return Established(
        peer,
        TransportCipher(noise.cipher_state_encrypt.k),
        TransportCipher(noise.cipher_state_decrypt.k),
        noise.handshake_hash,
    )
