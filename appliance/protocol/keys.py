"""Keys and their text forms.

A key is 32 raw bytes with a role. Its text is a role prefix and 64 lower-case hex digits
(``nodekey:…``); decoders accept upper-case digits. A private key is a clamped X25519 scalar
and shows nothing of itself when printed.

Source: tailscale types/key, 2026-08.
"""

from typing import ClassVar, Self

from nacl.bindings import crypto_scalarmult_base

from appliance.protocol.errors import ProtocolError

KEY_SIZE = 32


class _Key:
    """32 bytes with a role; equal only to a key of the same role."""

    __slots__ = ("_hash", "raw")

    PREFIX: ClassVar[str]

    def __init__(self, raw: bytes) -> None:
        """Take 32 raw bytes; any other length is a ``ProtocolError``."""
        if len(raw) != KEY_SIZE:
            raise ProtocolError(f"a {type(self).__name__} has {KEY_SIZE} bytes, not {len(raw)}")
        self.raw = bytes(raw)
        self._hash = hash((type(self).__name__, self.raw))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; a wrong prefix, length or digit is a ``ProtocolError``."""
        digits = text.removeprefix(cls.PREFIX)
        if len(digits) == len(text) or len(digits) != 2 * KEY_SIZE or not digits.isascii():
            raise ProtocolError(f"not a {cls.__name__}: expected {cls.PREFIX} and 64 hex digits")
        try:
            return cls(bytes.fromhex(digits))
        except ValueError:
            raise ProtocolError(f"not a {cls.__name__}: a digit is not hexadecimal") from None

    def text(self) -> str:
        """Render the text form."""
        return self.PREFIX + self.raw.hex()

    @property
    def is_zero(self) -> bool:
        """Whether this is the absent key (all bytes zero)."""
        return not any(self.raw)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.raw == self.raw

    def __hash__(self) -> int:
        return self._hash


class PublicKey(_Key):
    """A key that may be shown; its ``repr`` is a short prefix."""

    __slots__ = ()

    @classmethod
    def zero(cls) -> Self:
        """Return the absent key."""
        return cls(bytes(KEY_SIZE))

    @property
    def short(self) -> str:
        """The first 8 hex digits, for logs."""
        return self.raw.hex()[:8]

    def __repr__(self) -> str:
        return f"<{self.PREFIX}{self.short}>"

    __str__ = __repr__


class PrivateKey(_Key):
    """A clamped X25519 scalar; never printed, only ``text()`` reveals it."""

    __slots__ = ()

    PREFIX = "privkey:"

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Clamp 32 random bytes into a scalar (RFC 7748, section 5)."""
        if len(seed) != KEY_SIZE:
            raise ProtocolError(f"a key seed has {KEY_SIZE} bytes, not {len(seed)}")
        scalar = bytearray(seed)
        scalar[0] &= 248
        scalar[31] = (scalar[31] & 127) | 64
        return cls(bytes(scalar))

    def _public_raw(self) -> bytes:
        return bytes(crypto_scalarmult_base(self.raw))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [private]>"

    __str__ = __repr__


class MachinePublic(PublicKey):
    """Names a device install, or the coordinator, in the Noise handshake."""

    __slots__ = ()
    PREFIX = "mkey:"


class NodePublic(PublicKey):
    """Names a node: its WireGuard key and its address at a relay."""

    __slots__ = ()
    PREFIX = "nodekey:"


class DiscoPublic(PublicKey):
    """Names a node in DISCO messages."""

    __slots__ = ()
    PREFIX = "discokey:"


class ChallengePublic(PublicKey):
    """The coordinator's challenge in the early Noise payload."""

    __slots__ = ()
    PREFIX = "chalpub:"


class TailnetLockPublic(PublicKey):
    """The Ed25519 key of tailnet lock, which Latchkey carries but does not use."""

    __slots__ = ()
    PREFIX = "nlpub:"


class MachinePrivate(PrivateKey):
    """The device's Noise static key."""

    __slots__ = ()

    def public(self) -> MachinePublic:
        """Derive the public half."""
        return MachinePublic(self._public_raw())


class NodePrivate(PrivateKey):
    """The node's WireGuard key."""

    __slots__ = ()

    def public(self) -> NodePublic:
        """Derive the public half."""
        return NodePublic(self._public_raw())


class DiscoPrivate(PrivateKey):
    """The node's DISCO key."""

    __slots__ = ()

    def public(self) -> DiscoPublic:
        """Derive the public half."""
        return DiscoPublic(self._public_raw())
