"""The demo holds in every row, and leaves nothing behind however it ends.

laptop ── hostel ────┬──── internet ────┬──── home ──┬── appliance
phone ─┘         vps ┴─ web ── scanner               ├── printer
                                                     └── camera
"""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.demo.__main__ import run
from tests.netns.demo.report import Report
from tests.netns.lab import LABS, Lab, wait_until
from tests.netns.lab.namespaces import PREFIX, SOCKETS, namespaces, pids
from tests.support.peers import require_peer
from tests.support.wireguard import why_no_wireguard

pytestmark = [pytest.mark.netns, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def _programs() -> None:
    reason = why_no_wireguard()
    if reason:
        pytest.skip(reason)


def test_every_row_of_the_demo_holds(lab: Lab) -> None:
    require_peer("caddy")
    report = Report(io.StringIO())
    run(lab, report)
    assert report.all_held, report.table()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_however_it_ends_nothing_is_left(lab: Lab, number: signal.Signals) -> None:
    name = f"{lab.name}demo"
    command = [sys.executable, "-m", "tests.netns.demo", "--name", name]
    log = LABS / name / "vps" / "coordinator.log"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as demo:
        wait_until(lambda: log.exists() and "joined" in log.read_text(), 30, "the mesh begins")
        left = pids(namespaces(f"{PREFIX}{name}-"))
        assert left
        demo.send_signal(number)
        assert demo.wait(20) == {signal.SIGKILL: -9}.get(number, 130)
    if number is signal.SIGKILL:
        subprocess.run([*command, "--clean"], check=True, timeout=20)
    assert namespaces(f"{PREFIX}{name}-") == []
    assert not list(Path("/etc").glob(f"netns/{PREFIX}{name}-*"))
    assert not list(SOCKETS.glob(f"{PREFIX}{name}-*"))
    assert [pid for pid in left if Path(f"/proc/{pid}/exe").exists()] == []
