"""A steady pulse of echo requests from one lab host to an address: what was lost, and when.

The kernel of the other side answers, so no program there can hide or cause a loss.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self

from tests.netns.lab import Host, wait_until
from tests.netns.lab.namespaces import inside

PACE_S: Final = 0.02  # 50 a second
LATE_S: Final = 3.0  # an answer that takes longer counts as lost, also on a busy machine
_IDENTS: Final = itertools.count(0x4C4B)  # tells the pulses of one machine apart
_KINDS: Final = {4: (8, 0), 6: (128, 129)}  # echo request and reply, ICMP and ICMPv6
_FILLING: Final = bytes(56)


@dataclass(frozen=True, slots=True)
class Beat:
    """One echo request; times are monotonic."""

    number: int
    sent: float
    answered: float | None


class Pulse:
    """Runs from its making until `stop`, or the end of the block."""

    def __init__(self, host: Host, address: str, *, late_s: float = LATE_S) -> None:
        self._address = address
        self._late_s = late_s
        self._version = ip_address(address).version
        self._ident = next(_IDENTS) & 0xFFFF
        self._sent: list[float] = []
        self._answered: dict[int, float] = {}
        self._socket = inside(host.namespace, self._open)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pulse of {host.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> list[Beat]:
        """Send no more, wait for the answers still on their way, and return all beats."""
        self._ending.set()
        self._thread.join()
        return self.beats()

    def beats(self) -> list[Beat]:
        """All that was sent so far, in order."""
        sent = list(self._sent)
        return [Beat(number, at, self._answered.get(number)) for number, at in enumerate(sent)]

    def lost(self) -> list[Beat]:
        """What has not been answered in time, or ever."""
        now = time.monotonic()
        return [
            beat
            for beat in self.beats()
            if (now if beat.answered is None else beat.answered) - beat.sent > self._late_s
            or (self._ending.is_set() and beat.answered is None)
        ]

    def wait_for_answers(self, count: int, timeout_s: float) -> float:
        """Wait for that many more beats to be sent and answered; when the last answer came."""
        first = len(self._sent)

        def fresh() -> list[float]:
            return sorted(at for number, at in list(self._answered.items()) if number >= first)

        wait_until(lambda: len(fresh()) >= count, timeout_s, f"{self._address} answers")
        return fresh()[count - 1]

    def first_answer_after(self, moment: float, timeout_s: float) -> float:
        """Wait for an answer to a beat sent after the moment; when it came."""

        def answers() -> list[float]:
            return [b.answered for b in self.beats() if b.sent >= moment and b.answered is not None]

        return min(wait_until(answers, timeout_s, f"{self._address} answers again"))

    def _open(self) -> socket.socket:
        if self._version == 4:
            return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        return socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)

    def _run(self) -> None:
        with self._socket:
            due = time.monotonic()
            while not self._ending.is_set():
                self._send()
                due = max(due + PACE_S, time.monotonic())
                self._listen_until(due)
            while self._expects_answers() and time.monotonic() < due + self._late_s:
                self._listen_until(time.monotonic() + PACE_S)

    def _expects_answers(self) -> bool:
        now = time.monotonic()
        return any(b.answered is None and now - b.sent < self._late_s for b in self.beats()[-100:])

    def _send(self) -> None:
        number = len(self._sent)
        self._sent.append(time.monotonic())
        with suppress(OSError):  # no way to the address is a loss too
            self._socket.sendto(self._request(number), (self._address, 0))

    def _listen_until(self, due: float) -> None:
        while (left := due - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left)[0]:
                return
            data = self._socket.recv(2048)
            now = time.monotonic()
            body = data[(data[0] & 15) * 4 :] if self._version == 4 else data
            kind, _, _, ident, number = struct.unpack_from("!BBHHH", body)
            if (kind, ident) == (_KINDS[self._version][1], self._ident):
                self._answered.setdefault(number, now)

    def _request(self, number: int) -> bytes:
        kind = _KINDS[self._version][0]
        blank = struct.pack("!BBHHH", kind, 0, 0, self._ident, number) + _FILLING
        if self._version == 6:
            return blank  # the kernel fills in ICMPv6 checksums
        return blank[:2] + struct.pack("!H", _checksum(blank)) + blank[4:]


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
