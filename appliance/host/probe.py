"""Asks hosts whether they are there: ICMP echo, and the first step of a TCP connection.

An answer is what came back: from the host itself, or from a router on the way that says it cannot
reach it. ICMP layout: type u8 | code u8 | checksum u16 | identifier u16 | sequence u16 | data;
an error carries the IP header of the packet that caused it, and at least 8 bytes of that packet.

Source: RFC 792, RFC 4443.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Final

from appliance.protocol.addresses import IPAddress

_HEADER: Final = struct.Struct("!BBHHH")
_ECHO: Final = {4: (8, 0), 6: (128, 129)}
"""Request and reply by family."""
_UNREACHABLE: Final = {4: 3, 6: 1}
_IP_HEADER_LENGTH: Final = {6: 40}
_PROTOCOL: Final = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
_READ_SIZE: Final = 2048
_SO_BINDTODEVICE: Final = 25

MAX_TARGETS: Final = 16
"""A probe is a question, not a scan."""


class Outcome(Enum):
    """What a host, or somebody on the way to it, said."""

    ANSWERED = "answered"
    """It is there: an echo, an open port, or a port that it says is closed."""
    UNREACHABLE = "unreachable"
    """A router on the way says that it cannot reach it."""
    SILENT = "silent"
    """Nothing came back in time."""
    NOT_SENT = "not sent"
    """This machine has no way there, or may not send."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question; ``sender`` is who answered."""

    outcome: Outcome
    sender: IPAddress | None = None
    latency_s: float | None = None
    code: int = 0
    """The ICMP code of an UNREACHABLE."""
    refused: bool = False
    """A connection was refused, by the target or by a firewall in its name."""


SILENCE: Final = Answer(Outcome.SILENT)


async def echo(
    targets: Iterable[IPAddress], timeout_s: float, interface: str = ""
) -> dict[IPAddress, Answer]:
    """Send one ICMP echo to each target, and wait until all answered or time is up.

    With an interface only packets over it are sent and counted. Without CAP_NET_RAW, or without
    the interface, nothing is sent.
    """
    wanted = list(dict.fromkeys(targets))[:MAX_TARGETS]
    found: dict[IPAddress, Answer] = {}
    async with asyncio.TaskGroup() as tasks:
        for version in (4, 6):
            mine = [target for target in wanted if target.version == version]
            if mine:
                tasks.create_task(
                    _echo_family(version, mine, timeout_s, interface, found),
                    name=f"echo over IPv{version}",
                )
    return {target: found.get(target, SILENCE) for target in wanted}


async def knock(target: IPAddress, port: int, timeout_s: float, interface: str = "") -> Answer:
    """Try to open a TCP connection and close it at once; a refusal is an answer too."""
    refused = False
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        with _open(target.version, socket.SOCK_STREAM, 0, interface) as sock:
            async with asyncio.timeout(timeout_s):
                await loop.sock_connect(sock, (str(target), port))
    except TimeoutError:
        return SILENCE
    except ConnectionRefusedError:
        refused = True
    except OSError as error:
        return Answer(_outcome_of(error))
    return Answer(Outcome.ANSWERED, target, loop.time() - began, refused=refused)


async def _echo_family(
    version: int,
    targets: list[IPAddress],
    timeout_s: float,
    interface: str,
    found: dict[IPAddress, Answer],
) -> None:
    identifier = int.from_bytes(os.urandom(2))
    numbers = dict(enumerate(targets))
    loop = asyncio.get_running_loop()
    try:
        opened = _open(version, socket.SOCK_RAW, _PROTOCOL[version], interface)
    except OSError as error:
        found.update(dict.fromkeys(targets, Answer(_outcome_of(error))))
        return
    with opened as sock:
        began = loop.time()
        for number, target in numbers.items():
            try:
                sock.sendto(encode_echo(version, identifier, number), (str(target), 0))
            except OSError as error:
                found[target] = Answer(_outcome_of(error))
        try:
            async with asyncio.timeout(timeout_s):
                while any(target not in found for target in targets):
                    data, sender = await loop.sock_recvfrom(sock, _READ_SIZE)
                    heard = parse_answer(version, data, identifier)
                    if heard is not None and heard.number in numbers:
                        source = ip_address(str(sender[0]).partition("%")[0])
                        latency_s = loop.time() - began
                        answer = Answer(heard.outcome, source, latency_s, heard.code)
                        found.setdefault(numbers[heard.number], answer)
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class Heard:
    """An ICMP packet that belongs to a question of ours."""

    number: int
    outcome: Outcome
    code: int = 0


def encode_echo(version: int, identifier: int, number: int) -> bytes:
    """Write an echo request; the kernel fills in the checksum of ICMPv6."""
    kind = _ECHO[version][0]
    packet = _HEADER.pack(kind, 0, 0, identifier, number)
    if version == 6:
        return packet
    return _HEADER.pack(kind, 0, checksum(packet), identifier, number)


def parse_answer(version: int, data: bytes, identifier: int) -> Heard | None:
    """Read what a raw socket gave; None for what is not an answer to us. IPv4 has its header."""
    body = data[_ip_header_length(data) :] if version == 4 else data
    if len(body) < _HEADER.size:
        return None
    kind, code, _, who, number = _HEADER.unpack_from(body)
    request, reply = _ECHO[version]
    if kind == reply:
        return Heard(number, Outcome.ANSWERED) if who == identifier else None
    if kind != _UNREACHABLE[version]:
        return None
    inner = body[_HEADER.size :]
    inner = inner[_IP_HEADER_LENGTH.get(version) or _ip_header_length(inner) :]
    if len(inner) < _HEADER.size:
        return None
    kind, _, _, who, number = _HEADER.unpack_from(inner)
    return (
        Heard(number, Outcome.UNREACHABLE, code) if (kind, who) == (request, identifier) else None
    )


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return int(~(total + (total >> 16)) & 0xFFFF)


def _ip_header_length(data: bytes) -> int:
    return int(data[0] & 0x0F) * 4 if data else 0


def _open(version: int, kind: int, protocol: int, interface: str) -> socket.socket:
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        if interface:
            opened.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, interface.encode())
    except OSError:
        opened.close()
        raise
    return opened


_OUTCOMES: Final[Mapping[int, Outcome]] = {
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.ECONNRESET: Outcome.ANSWERED,
}


def _outcome_of(error: OSError) -> Outcome:
    return _OUTCOMES.get(error.errno or 0, Outcome.NOT_SENT)
