"""Netlink: how a program asks the kernel about its network.

Message:   length u32 | type u16 | flags u16 | sequence u32 | port u32 | payload, padded to 4.
Attribute: length u16 (with this header) | type u16 (bit 15: nested) | value, padded to 4.
All integers are in the machine's byte order. Every request carries ACK, so each one ends in an
error message (number 0: done) or, for a dump, in DONE.

The kernel answers while it takes the request, so a reply is there to read when ``send`` returns;
the sockets are non-blocking all the same, and a missing reply is an error, not a wait.

Source: linux include/uapi/linux/netlink.h, 6.12.
"""

import contextlib
import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self

from appliance.host.errors import NetlinkError

NETLINK_ROUTE: Final = 0
NETLINK_NETFILTER: Final = 12
NETLINK_GENERIC: Final = 16

NLM_F_REQUEST: Final = 0x001
NLM_F_ACK: Final = 0x004
NLM_F_DUMP_INTERRUPTED: Final = 0x010
NLM_F_REPLACE: Final = 0x100
NLM_F_DUMP: Final = 0x300
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_ACK_TLVS: Final = 0x200

_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_NLMSGERR_ATTR_MSG: Final = 1

_SOL_NETLINK: Final = 270
_NETLINK_CAP_ACK: Final = 10
_NETLINK_EXT_ACK: Final = 11
_NETLINK_GET_STRICT_CHK: Final = 12

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR_NUMBER: Final = struct.Struct("=i")

_TYPE_MASK: Final = 0x3FFF
_NESTED: Final = 0x8000

_READ_SIZE: Final = 128 * 1024
"""One read takes a whole part of a dump; the kernel fills at most 32 KiB on older versions."""
_SEND_LIMIT: Final = 32 * 1024
"""Requests are sent together up to this size: far below the socket's send buffer."""
_BATCH_LENGTH: Final = 32
"""Requests sent together: the default receive buffer (208 KiB) holds some hundred answers."""
_ANSWER_WAIT_MS: Final = 2000
"""The kernel answers at once, unless another program holds its lock for a moment."""
_DUMP_TRIES: Final = 5
"""A dump during which the tables changed is read again; after this many we take what we have."""


class Message(NamedTuple):
    """One message without its header's bookkeeping."""

    kind: int
    flags: int
    payload: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def attribute_u8(kind: int, value: int) -> bytes:
    """Encode a one-byte number."""
    return attribute(kind, struct.pack("=B", value))


def attribute_u16(kind: int, value: int) -> bytes:
    """Encode a two-byte number."""
    return attribute(kind, struct.pack("=H", value))


def attribute_u32(kind: int, value: int) -> bytes:
    """Encode a four-byte number."""
    return attribute(kind, struct.pack("=I", value))


def attribute_text(kind: int, value: str) -> bytes:
    """Encode a text with its closing zero byte."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, attributes: Iterable[bytes]) -> bytes:
    """Encode attributes inside an attribute; 65,531 bytes of them at most."""
    return attribute(kind | _NESTED, b"".join(attributes))


def parse_attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Read (type, value) pairs; a broken tail ends the reading, as in the kernel's own tools."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4 or offset + length > len(data):
            return
        yield kind & _TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def number(value: bytes) -> int:
    """Read a number of any width; absent (no bytes) is 0."""
    return int.from_bytes(value, sys.byteorder)


def text(value: bytes) -> str:
    """Read a text that ends in a zero byte."""
    return value.split(b"\0", 1)[0].decode(errors="replace")


def parse_messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Read (type, flags, sequence, payload) of each message in one datagram."""
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16 or offset + length > len(data):
            return
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def parse_error(flags: int, payload: bytes) -> NetlinkError | None:
    """Read an error message; None means that the request was carried out."""
    (number,) = _ERROR_NUMBER.unpack_from(payload)
    if number == 0:
        return None
    reason = os.strerror(-number)
    if flags & NLM_F_ACK_TLVS:
        # With NETLINK_CAP_ACK only the header of the request stands between.
        attributes = dict(parse_attributes(payload, 20))
        if said := attributes.get(_NLMSGERR_ATTR_MSG):
            reason = f"{reason}: {text(said)}"
    return NetlinkError(-number, reason)


class NetlinkSocket:
    """One netlink socket; requests are answered before the call returns."""

    def __init__(self, protocol: int) -> None:
        self._sequence = 0
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol
            )
        except OSError as error:
            raise NetlinkError(error.errno or 0, f"no netlink here: {error.strerror}") from error
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            # Missing on a kernel older than ours: errors then come without the kernel's words.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, kind: int, payload: bytes, flags: int = 0) -> list[bytes]:
        """Have one request carried out; what the kernel says besides "done" is returned."""
        first = self._send([Message(kind, flags, payload)])
        answers: list[bytes] = []
        for _, _, answer, error in self._answers(first, 1):
            if error is not None:
                raise error
            answers.append(answer)
        return answers

    def request_all(self, messages: Sequence[Message]) -> list[NetlinkError | None]:
        """Have requests carried out in order; one entry each, None where it went well."""
        results: list[NetlinkError | None] = []
        for batch in _batches(messages):
            first = self._send(batch)
            failed = {sequence: error for sequence, _, _, error in self._answers(first, len(batch))}
            results += [failed.get(first + number) for number in range(len(batch))]
        return results

    def dump(self, kind: int, payload: bytes) -> list[bytes]:
        """Read a whole table; it is read again when it changed meanwhile."""
        rows: list[bytes] = []
        for _ in range(_DUMP_TRIES):
            first = self._send([Message(kind, NLM_F_DUMP, payload)])
            rows, interrupted = [], False
            for _, flags, row, error in self._answers(first, 1):
                if error is not None:
                    raise error
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTERRUPTED)
                rows.append(row)
            if not interrupted:
                break
        return rows

    def _send(self, messages: Sequence[Message]) -> int:
        """Send requests in one datagram; the sequence number of the first is returned."""
        first = self._sequence + 1
        parts = []
        for kind, flags, payload in messages:
            self._sequence += 1
            flags |= NLM_F_REQUEST | NLM_F_ACK
            parts.append(_HEADER.pack(16 + len(payload), kind, flags, self._sequence, 0))
            parts.append(payload + bytes(-len(payload) % 4))
        try:
            self._socket.send(b"".join(parts))
        except OSError as error:
            raise NetlinkError(error.errno or 0, error.strerror or "send failed") from error
        return first

    def _answers(
        self, first: int, count: int
    ) -> Iterator[tuple[int, int, bytes, NetlinkError | None]]:
        """Yield (sequence, flags, payload, error) until each of ``count`` requests has ended."""
        waiting = count
        while waiting:
            for kind, flags, sequence, payload in parse_messages(self._receive()):
                if not first <= sequence < first + count:
                    continue  # left over from a request whose reader gave up
                if kind not in (_NLMSG_ERROR, _NLMSG_DONE):
                    yield sequence, flags, payload, None
                    continue
                waiting -= 1
                if error := parse_error(flags, payload):
                    yield sequence, flags, b"", error

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_READ_SIZE)
        except BlockingIOError:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(_ANSWER_WAIT_MS):
                raise NetlinkError(errno.ETIMEDOUT, "the kernel does not answer") from None
            return self._socket.recv(_READ_SIZE)
        except OSError as error:
            raise NetlinkError(error.errno or 0, error.strerror or "read failed") from error


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    size = 0
    for message in messages:
        if len(batch) == _BATCH_LENGTH or (batch and size + len(message.payload) > _SEND_LIMIT):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += 20 + len(message.payload)
    if batch:
        yield batch
