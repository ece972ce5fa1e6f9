"""A real dbus-daemon of a test's own, and services on it that remember what they were asked."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.host.dbus.bus import SystemBus

_CONFIG = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="signal"/>
    <allow receive_type="error"/>
  </policy>
</busconfig>
"""


def require_dbus() -> None:
    """Skip, by name, where the daemon or the library is missing."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    pytest.importorskip("dbus_next", reason="the Python package dbus-next is not installed")


def write_bus_config(directory: Path, socket: Path) -> Path:
    """A bus on this socket on which everybody may do everything."""
    config = directory / "bus.conf"
    config.write_text(_CONFIG.format(socket=socket), encoding="ascii")
    return config


@asynccontextmanager
async def private_bus(directory: Path) -> AsyncIterator[str]:
    """A running bus; its address."""
    require_dbus()
    socket = directory / "bus"
    daemon = await asyncio.create_subprocess_exec(
        *("dbus-daemon", f"--config-file={write_bus_config(directory, socket)}"),
        *("--nofork", "--print-address"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert daemon.stdout is not None
    try:
        async with asyncio.timeout(5):
            await daemon.stdout.readline()
        yield f"unix:path={socket}"
    finally:
        if daemon.returncode is None:
            daemon.kill()
        await daemon.wait()
        await daemon.stdout.read()


class FakeService:
    """Owns a name and answers every call with nothing, or as ``errors`` and ``silent`` say."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name
        self.calls: list[tuple[str, list[Any]]] = []
        self.errors: dict[str, str] = {}
        self.silent = False
        self._bus: Any = None

    async def start(self) -> None:
        """Connect and take the name."""
        self._connection = await SystemBus.open(self.address)
        self._bus = self._connection._bus
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(self.name)

    async def stop(self) -> None:
        """Leave the bus."""
        self._connection.close()

    def called(self, member: str) -> list[Any]:
        """The arguments of the last call of this method."""
        return next(body for name, body in reversed(self.calls) if name == member)

    def _answer(self, message: Any) -> Any:
        from dbus_next.constants import MessageType
        from dbus_next.message import Message

        if message.message_type != MessageType.METHOD_CALL or message.destination not in (
            self.name,
            self._bus.unique_name,
        ):
            return None
        self.calls.append((message.member, list(message.body)))
        if self.silent:
            return True
        if message.member in self.errors:
            return Message.new_error(message, "org.example.Refused", self.errors[message.member])
        return Message.new_method_return(message)
