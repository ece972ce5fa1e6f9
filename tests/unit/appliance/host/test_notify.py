from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.host.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A service manager's socket and its name as NOTIFY_SOCKET gives it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@latchkey-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0", 1))
        yield listener, name


def test_the_manager_hears_how_we_are(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier(name)
    notifier.ready()
    notifier.status("two\nlines")
    notifier.watchdog()
    notifier.stopping()
    heard = [listener.recv(100) for _ in range(4)]
    assert heard == [b"READY=1", b"STATUS=two lines", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_manager_nothing_happens() -> None:
    Notifier(None).ready()
    Notifier("").ready()


def test_a_manager_that_is_gone_is_logged_once_per_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier(str(tmp_path / "gone")).ready()
    assert "READY=1" in caplog.text
