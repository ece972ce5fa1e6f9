"""DNS messages to ask and answer with, built by hand from RFC 1035."""

import struct

from appliance.protocol.dns import Query, parse_query


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".") if part)
    return labels + b"\0" + struct.pack("!HH", kind, 1)


def query_bytes(
    name: str = "web.example", kind: int = 1, number: int = 0x1234, opt: int = 0
) -> bytes:
    """A query that wants recursion; ``opt`` is the UDP size of its OPT record."""
    extra = b"\0" + struct.pack("!HHIH", 41, opt, 0, 0) if opt else b""
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, bool(opt)) + question(name, kind) + extra


def query(name: str = "web.example", kind: int = 1, number: int = 0x1234, opt: int = 0) -> Query:
    return parse_query(query_bytes(name, kind, number, opt))


def reply_to(
    asked: Query | bytes, *values: bytes, rcode: int = 0, flags: int = 0x8180, kind: int = 1
) -> bytes:
    """The answer to a query, with these values as its records."""
    parsed = asked if isinstance(asked, Query) else parse_query(asked)
    head = struct.pack("!HHHHHH", parsed.id, flags | rcode, 1, len(values), 0, 0)
    records = b"".join(
        b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(value)) + value for value in values
    )
    return head + parsed.data[12 : parsed.end] + records
