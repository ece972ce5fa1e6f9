"""DNS messages, as far as a forwarder must understand them.

Header:   ID u16 | flags u16 | questions u16 | answers u16 | authorities u16 | additionals u16
Flags:    QR 0x8000 | opcode 0x7800 | AA 0x0400 | TC 0x0200 | RD 0x0100 | RA 0x0080 | rcode 0x000f
Question: name (labels: length u8 | bytes; a zero length ends it) | type u16 | class u16
Record:   name | type u16 | class u16 | TTL u32 | length u16 | data
OPT:      a record without name, type 41, whose class is the largest answer that fits the asker's
          UDP socket.

Over TCP a message follows its length as u16. Records pass unread but for the OPT of a query.
Source: RFC 1035 section 4, RFC 6891 section 6.1.2, RFC 2308 for what a resolver may answer.
"""

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from appliance.protocol.addresses import IPAddress
from appliance.protocol.errors import ProtocolError

PORT: Final = 53
MAX_MESSAGE: Final = 65535
"""What the length over TCP can say."""
MIN_UDP: Final = 512
"""What every asker takes over UDP."""

TYPE_A: Final = 1
TYPE_AAAA: Final = 28
_TYPE_OPT: Final = 41
_CLASS_IN: Final = 1

NO_ERROR: Final = 0
FORMAT_ERROR: Final = 1
SERVER_FAILURE: Final = 2
NAME_ERROR: Final = 3
NOT_IMPLEMENTED: Final = 4
REFUSED: Final = 5

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION_TAIL: Final = struct.Struct("!HH")
_RECORD_TAIL: Final = struct.Struct("!HHIH")

_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSION_WANTED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
_RCODE: Final = 0x000F

_MAX_NAME: Final = 255
_MAX_LABEL: Final = 63
_POINTER: Final = 0xC0
_MAX_ADDITIONALS: Final = 4
"""A query has an OPT and perhaps a signature."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question, with the bytes it came in."""

    data: bytes
    name: str
    """In lower case, without the last dot; the root is the empty text."""
    kind: int
    end: int
    """Where the question ends in ``data``."""
    udp_limit: int
    """The largest answer that the asker takes over UDP."""

    @property
    def id(self) -> int:
        """The number that the answer must carry."""
        return int.from_bytes(self.data[:2])

    def with_id(self, number: int) -> "Query":
        """Return the same query under another number."""
        data = number.to_bytes(2) + self.data[2:]
        return Query(data, self.name, self.kind, self.end, self.udp_limit)


def parse_query(data: bytes, max_bytes: int = MAX_MESSAGE) -> Query:
    """Read a query with one question."""
    if not _HEADER.size <= len(data) <= max_bytes:
        raise ProtocolError("not a DNS message")
    _, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE) or questions != 1 or answers or authorities:
        raise ProtocolError("not a DNS query with one question")
    name, offset = _parse_name(data, _HEADER.size)
    end = offset + _QUESTION_TAIL.size
    if end > len(data):
        raise ProtocolError("the DNS question is cut off")
    kind, _ = _QUESTION_TAIL.unpack_from(data, offset)
    return Query(data, name, kind, end, _udp_limit(data, end, additionals))


def encode_query(number: int, name: str, kind: int) -> Query:
    """Ask for a name, in the form that people write; an unfit one is a ``ProtocolError``."""
    try:
        labels = [part.encode("idna") for part in name.rstrip(".").split(".")]
    except UnicodeError:
        labels = []
    if not all(0 < len(label) <= _MAX_LABEL for label in labels) or not labels:
        raise ProtocolError(f"{name[:80]!r} is not a host name")
    question = b"".join(bytes((len(label),)) + label for label in labels)
    head = _HEADER.pack(number, _RECURSION_WANTED, 1, 0, 0, 0)
    return parse_query(head + question + b"\0" + _QUESTION_TAIL.pack(kind, _CLASS_IN))


def encode_failure(query: Query, rcode: int) -> bytes:
    """Answer a query without any record."""
    return _encode_empty(query, rcode)


def encode_unreadable(data: bytes) -> bytes | None:
    """Answer what is no query; None for what must not be answered at all."""
    if len(data) < _HEADER.size:
        return None
    number, flags, *_ = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    rcode = NOT_IMPLEMENTED if flags & _OPCODE else FORMAT_ERROR
    kept = flags & (_OPCODE | _RECURSION_WANTED)
    return _HEADER.pack(number, _RESPONSE | kept | rcode, 0, 0, 0, 0)


def fit_udp(query: Query, reply: bytes) -> bytes:
    """Return the answer, or when it is too long for the asker the word to ask over TCP."""
    if len(reply) <= query.udp_limit:
        return reply
    return _encode_empty(query, rcode_of(reply), _TRUNCATED)


def answers(query: Query, reply: bytes) -> bool:
    """Whether this is the answer to that query: its number, its question."""
    if not _HEADER.size <= len(reply) <= MAX_MESSAGE:
        return False
    number, flags, questions, *_ = _HEADER.unpack_from(reply)
    if number != query.id or not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0:  # some servers leave the question out of a refusal
        return rcode_of(reply) != NO_ERROR
    asked = query.data[_HEADER.size : query.end]
    return questions == 1 and reply[_HEADER.size : query.end].lower() == asked.lower()


def is_truncated(reply: bytes) -> bool:
    """Whether the whole answer is to be had over TCP only."""
    return bool(int.from_bytes(reply[2:4]) & _TRUNCATED)


def rcode_of(reply: bytes) -> int:
    """Return what the answer says of its success."""
    return int.from_bytes(reply[2:4]) & _RCODE


def parse_addresses(query: Query, reply: bytes) -> tuple[IPAddress, ...]:
    """Return the addresses in the answer to a query for some."""
    size = {TYPE_A: 4, TYPE_AAAA: 16}.get(query.kind)
    found: list[IPAddress] = []
    count, offset = int.from_bytes(reply[6:8]), query.end
    for _ in range(count):
        offset = _skip_name(reply, offset)
        if offset + _RECORD_TAIL.size > len(reply):
            raise ProtocolError("the DNS answer is cut off")
        kind, _, _, length = _RECORD_TAIL.unpack_from(reply, offset)
        offset += _RECORD_TAIL.size
        if kind == query.kind and length == size and offset + length <= len(reply):
            found.append(ip_address(reply[offset : offset + length]))
        offset += length
    return tuple(found)


def renumber(reply: bytes, number: int) -> bytes:
    """Return the same message under another number."""
    return number.to_bytes(2) + reply[2:]


def _encode_empty(query: Query, rcode: int, more_flags: int = 0) -> bytes:
    wanted = int.from_bytes(query.data[2:4]) & _RECURSION_WANTED
    flags = _RESPONSE | _RECURSION_AVAILABLE | wanted | more_flags | rcode
    question = query.data[_HEADER.size : query.end]
    return _HEADER.pack(query.id, flags, 1, 0, 0, 0) + question


def _parse_name(data: bytes, offset: int) -> tuple[str, int]:
    """Read a name without compression: in a question there is nothing to point at."""
    labels: list[str] = []
    start = offset
    while True:
        if offset >= len(data) or offset - start > _MAX_NAME:
            raise ProtocolError("the DNS name is too long or cut off")
        length = data[offset]
        if length == 0:
            return ".".join(labels).lower(), offset + 1
        if length > _MAX_LABEL:
            raise ProtocolError("the DNS name has a label that is too long")
        label = data[offset + 1 : offset + 1 + length]
        labels.append(label.decode("latin-1").replace(".", "\\."))
        offset += 1 + length


def _skip_name(data: bytes, offset: int) -> int:
    """Return where a name ends; one that goes on elsewhere ends with its pointer."""
    while offset < len(data):
        length = data[offset]
        if length >= _POINTER:
            return offset + 2
        offset += 1 + length
        if length == 0:
            return offset
    raise ProtocolError("the DNS answer is cut off")


def _udp_limit(data: bytes, offset: int, additionals: int) -> int:
    if additionals > _MAX_ADDITIONALS:
        raise ProtocolError("the DNS query has too many records")
    limit = MIN_UDP
    for _ in range(additionals):
        _, offset = _parse_name(data, offset)
        if offset + _RECORD_TAIL.size > len(data):
            raise ProtocolError("the DNS query is cut off")
        kind, size, _, length = _RECORD_TAIL.unpack_from(data, offset)
        offset += _RECORD_TAIL.size + length
        if kind == _TYPE_OPT:
            limit = max(MIN_UDP, size)
    if offset > len(data):
        raise ProtocolError("the DNS query is cut off")
    return limit
