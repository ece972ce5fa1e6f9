"""What the internet can see of an address: every TCP port and a sample of UDP ports."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Final

from tests.netns.lab.host import Host
from tests.netns.lab.web import SCRIPTS


@dataclass(frozen=True, slots=True)
class ScanReport:
    """How many ports were tried, and everything that came back."""

    target: str
    tcp_probes: int
    udp_probes: int
    answers: tuple[str, ...]


ALL_PORTS: Final = (1, 65535)


def scan(
    scanner: Host, target: str, *, ports: tuple[int, int] = ALL_PORTS, timeout_s: float = 60
) -> ScanReport:
    """Scan the address from this host (it needs no other traffic there meanwhile)."""
    script = [sys.executable, str(SCRIPTS / "scan.py"), target, *map(str, ports)]
    found = json.loads(scanner.run(script, timeout_s=timeout_s))
    return ScanReport(target, found["tcp_probes"], found["udp_probes"], tuple(found["answers"]))
