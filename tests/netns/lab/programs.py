"""Programs that run inside a lab's hosts, and waiting for what they do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from tests.netns.lab.errors import LabError, LabTimeoutError

T = TypeVar("T")

PATIENCE: Final = float(os.environ.get("LATCHKEY_TEST_PATIENCE", "1"))
"""What the lab's time limits are multiplied by; more than 1 on a machine that is emulated."""

_POLL_S: Final = 0.02
_TAIL_LINES: Final = 25
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def wait_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """Poll until the condition returns something true, and return that."""
    timeout_s *= PATIENCE
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise LabTimeoutError(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(_POLL_S)


class Program:
    """A running program with its log in a file."""

    def __init__(self, name: str, argv: list[str], log: Path, env: dict[str, str]) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches the lab's owner only.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | env,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id (the program's own: the way into the namespace is by exec)."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def text(self) -> str:
        """All that it has printed."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The last lines that it printed, for a message."""
        return "\n".join(self.text().splitlines()[-_TAIL_LINES:])

    def wait_for_line(self, pattern: str, timeout_s: float = 10) -> re.Match[str]:
        """Wait until the log holds a match; fails at once when the program ends."""
        expression = re.compile(pattern, re.MULTILINE)

        def found() -> re.Match[str] | None:
            match = expression.search(self.text())
            if match is None:
                self.check_alive()
            return match

        match = wait_until(found, timeout_s, f"{self.name} prints {pattern!r}\n{self.log}")
        assert match is not None
        return match

    def check_alive(self) -> None:
        """Raise with the log's last lines when the program has ended."""
        if self.exit_status is not None:
            raise LabError(f"{self.name} ended with status {self.exit_status}:\n{self.tail()}")

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; returns the exit status."""
        try:
            return self._process.wait(timeout_s * PATIENCE)
        except subprocess.TimeoutExpired:
            raise LabTimeoutError(f"{self.name} does not end:\n{self.tail()}") from None

    def stop(self, timeout_s: float = 5) -> int:
        """Ask it to end, insist after the time limit; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s * PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def kill(self) -> None:
        """kill -9, as in a crash."""
        self._process.kill()
        self._process.wait()

    def interrupt(self) -> None:
        """SIGINT, as Ctrl-C would."""
        self._process.send_signal(signal.SIGINT)

    def cpu_s(self) -> float:
        """Seconds of CPU that the process has used so far."""
        return process_cpu_s(self.pid)

    def pss_mb(self) -> float:
        """Its proportional share of memory, in megabytes (10^6 bytes)."""
        return process_pss_mb(self.pid)


def process_cpu_s(pid: int) -> float:
    """User plus system time of a process, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    after_name = fields.rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def process_pss_mb(pid: int, kind: str = "Pss") -> float:
    """PSS (or "Rss") of a process, in megabytes (10^6 bytes)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    match = re.search(rf"^{kind}:\s+(\d+) kB", text, re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024 / 1e6
