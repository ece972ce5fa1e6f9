"""Packets of an interface as lines of text, for tests that say what must not be among them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.netns.lab.host import Host
from tests.netns.lab.programs import Program

_NUMBERS: Final = itertools.count(1)


class Ear:
    """Listens until stopped; one line a packet."""

    def __init__(self, host: Host, interface: str, match: str) -> None:
        name = f"ear-{interface}-{next(_NUMBERS)}"
        # A short snapshot: whole packets leave room for eight, and bursts are lost.
        command = ["tcpdump", "-i", interface, "-s", "256", "-n", "-l", "--immediate-mode"]
        self.program: Program = host.start(name, [*command, *match.split()])
        self.program.wait_for_line("listening on")

    def heard(self) -> list[str]:
        """One line a packet."""
        return [line for line in self.program.text().splitlines() if " > " in line]


@contextmanager
def listening(host: Host, interface: str, match: str) -> Iterator[Ear]:
    """An ear for the length of a block."""
    ear = Ear(host, interface, match)
    try:
        yield ear
    finally:
        ear.program.stop()
