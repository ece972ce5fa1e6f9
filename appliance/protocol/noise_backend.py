"""The primitives that the Noise library works with: libsodium's and the standard library's.

The library brings a backend of its own, on ``cryptography``; that package alone would cost the
agent 7 MB of memory, and PyNaCl is loaded anyway for DISCO and DERP. Nothing here computes: it
only gives existing functions the names that the library calls.
"""

import hashlib
import hmac

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)

from appliance.protocol.noise_library import NoiseBackend


class X25519KeyPair:
    """A key pair, or (with ``private`` None) somebody else's public key."""

    def __init__(self, private: bytes | None, public: bytes) -> None:
        self.private = private
        self.public = public
        self.public_bytes = public

    @classmethod
    def from_private_bytes(cls, private: bytes) -> "X25519KeyPair":
        """Derive the public half."""
        return cls(private, crypto_scalarmult_base(private))

    @classmethod
    def from_public_bytes(cls, public: bytes) -> "X25519KeyPair":
        """Take somebody else's key."""
        return cls(None, public)


class _X25519:
    dhlen = 32
    klass = X25519KeyPair

    def dh(self, private: bytes, public: bytes) -> bytes:
        """Agree on a secret; libsodium refuses public keys of low order."""
        return crypto_scalarmult(private, public)


class _ChaChaPoly:
    """The cipher of the handshake, whose nonce counts little-endian."""

    def initialize(self, key: bytes) -> None:
        """Do nothing: the key comes with every call."""

    def encrypt(self, key: bytes, counter: int, data: bytes, plaintext: bytes) -> bytes:
        nonce = bytes(4) + counter.to_bytes(8, "little")
        return crypto_aead_chacha20poly1305_ietf_encrypt(bytes(plaintext), data, nonce, key)

    def decrypt(self, key: bytes, counter: int, data: bytes, ciphertext: bytes) -> bytes:
        nonce = bytes(4) + counter.to_bytes(8, "little")
        return crypto_aead_chacha20poly1305_ietf_decrypt(bytes(ciphertext), data, nonce, key)


class _Blake2s:
    hashlen = 32
    blocklen = 64
    fn = "blake2s"

    def hash(self, data: bytes) -> bytes:
        return hashlib.blake2s(data).digest()


class SodiumBackend(NoiseBackend):  # type: ignore[misc]
    """What ``Noise_*_25519_ChaChaPoly_BLAKE2s`` needs, and nothing more."""

    def __init__(self) -> None:
        super().__init__()
        self.diffie_hellmans = {"25519": _X25519}
        self.ciphers = {"ChaChaPoly": _ChaChaPoly}
        self.hashes = {"BLAKE2s": _Blake2s}
        self.keypairs = {"25519": X25519KeyPair}
        self.hmac = _hmac


def _hmac(key: bytes, data: bytes, algorithm: str) -> bytes:
    return hmac.digest(key, data, algorithm)
