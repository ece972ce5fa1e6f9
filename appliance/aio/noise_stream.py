"""TS2021 as a byte stream: the handshake over a stream, and records both ways."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.aio.errors import RequestRefusedError, StreamError
from appliance.aio.http1 import Upgrade, encode_switching_protocols
from appliance.aio.messages import HttpRequest
from appliance.aio.stream import PrefixedStream, Stream, read_exactly
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, ChallengePublic, MachinePrivate, MachinePublic
from appliance.protocol.ts2021 import (
    HANDSHAKE_HEADER,
    UPGRADE,
    ClientHandshake,
    EarlyPayloadReader,
    Session,
    accept_handshake,
    encode_early_payload,
    frame_size,
)

_SWITCHING: Final = encode_switching_protocols((("Upgrade", UPGRADE), ("Connection", "upgrade")))


class NoiseStream:
    """A ``Stream`` of plaintext over a stream of records."""

    def __init__(self, stream: Stream, session: Session, *, early_payload: bool = False) -> None:
        self._stream = stream
        self._session = session
        self._early = EarlyPayloadReader() if early_payload else None
        self._plaintext = b""
        self._failure: StreamError | None = None

    @property
    def peer(self) -> MachinePublic:
        """The machine key the other side has proven to hold."""
        return self._session.peer

    @property
    def version(self) -> int:
        """The node's capability version."""
        return self._session.version

    @property
    def challenge(self) -> ChallengePublic | None:
        """The challenge of the early payload, once it has been read."""
        return self._early.challenge if self._early else None

    async def read(self, max_bytes: int) -> bytes:
        """Wait for plaintext; a record that does not open is a ``StreamError``, for good."""
        while not self._plaintext:
            if self._failure:
                raise self._failure
            data = await self._stream.read(max_bytes)
            if not data:
                return b""
            self._receive(data)
        plaintext, self._plaintext = self._plaintext[:max_bytes], self._plaintext[max_bytes:]
        return plaintext

    async def write(self, data: bytes) -> None:
        """Seal and hand over bytes."""
        await self._stream.write(self._session.encode_data(data))

    async def close(self) -> None:
        """Close the stream beneath."""
        await self._stream.close()

    def _receive(self, data: bytes) -> None:
        try:
            plaintext = self._session.receive_data(data)
            self._plaintext = self._early.receive_data(plaintext) if self._early else plaintext
        except ProtocolError as error:
            self._failure = StreamError(str(error))
            raise self._failure from None


def start_handshake(
    private: MachinePrivate, server: MachinePublic, version: int
) -> ClientHandshake:
    """Begin the node's half with a fresh ephemeral key."""
    return ClientHandshake(private, server, version, _ephemeral())


async def finish_handshake(
    stream: Stream, leftover: bytes, handshake: ClientHandshake
) -> NoiseStream:
    """Read the coordinator's answer that follows the 101, and return the channel.

    A ``ProtocolError`` when it is refused or forged.
    """
    stream = PrefixedStream(leftover, stream)
    header = await read_exactly(stream, 3)
    frame = header + await read_exactly(stream, frame_size(header) - 3)
    return NoiseStream(stream, handshake.finish(frame), early_payload=True)


def accept_noise(
    request: HttpRequest,
    private: MachinePrivate,
    serve: Callable[[NoiseStream], Awaitable[None]],
    challenge: ChallengePublic | None = None,
) -> Upgrade:
    """Answer POST /ts2021: 101, the handshake and the early payload in one write, then serve.

    A ``RequestRefusedError`` when the request is not a handshake with this key; nothing has
    been written then.
    """
    if (request.header("Upgrade") or "").lower() != UPGRADE:
        raise RequestRefusedError(426, f"this path is for Upgrade: {UPGRADE}")
    header_value = request.header(HANDSHAKE_HEADER) or ""
    try:
        response, session = accept_handshake(header_value, private, _ephemeral())
    except ProtocolError as error:
        raise RequestRefusedError(400, str(error)) from None

    async def take_over(stream: Stream, leftover: bytes) -> None:
        early = session.encode_data(encode_early_payload(challenge)) if challenge else b""
        await stream.write(_SWITCHING + response + early)
        await serve(NoiseStream(PrefixedStream(leftover, stream), session))

    return Upgrade(take_over)


def _ephemeral() -> MachinePrivate:
    return MachinePrivate.from_seed(secrets.token_bytes(KEY_SIZE))
