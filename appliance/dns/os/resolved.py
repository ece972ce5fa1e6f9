"""systemd-resolved: our link's server takes every query.

What resolved is told of a link goes with the link, so nothing of ours outlives the tunnel. Where
resolved starts anew it is told again.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.dns.errors import DnsError
from appliance.dns.os.resolvconf import PATH, read_servers
from appliance.host.errors import HostError
from appliance.protocol.addresses import AddrPort, IPAddress

if TYPE_CHECKING:
    from appliance.host.dbus.bus import SystemBus

OpenBus = Callable[[], Awaitable["SystemBus"]]

_log = logging.getLogger(__name__)

RUN: Final = Path("/run/systemd/resolve")
"""There while resolved runs, or has run."""
LOOK_S: Final = 30.0
"""Between two looks whether the bus is still there; it never restarts on a sound machine."""
RETRY_S: Final = 5.0
"""Between two tries to reach a bus that went away."""
_STUBS: Final = frozenset({"127.0.0.53", "127.0.0.54"})


def was_started(run: Path = RUN) -> bool:
    """Whether resolved is worth asking for: cheaper than to open a bus."""
    return run.is_dir()


def resolv_conf_leads_to_it(path: Path = PATH) -> bool:
    """Whether programs that read resolv.conf end up at resolved."""
    servers = read_servers(path)
    return bool(servers) and all(str(server.ip) in _STUBS for server in servers)


def read_upstreams(run: Path = RUN) -> tuple[AddrPort, ...]:
    """Return the servers that resolved has from the uplinks and its own settings."""
    return read_servers(run / "resolv.conf")


class Resolved:
    """Tells resolved over the bus (the ``HostResolver`` contract)."""

    kind = "systemd-resolved"

    def __init__(
        self,
        bus: "SystemBus",
        interface: str,
        run: Path = RUN,
        link_index: Callable[[str], int] = socket.if_nametoindex,
        open_bus: OpenBus | None = None,
    ) -> None:
        self._bus: SystemBus | None = bus
        self._open_bus = open_bus or _open_bus
        self._interface = interface
        self._run = run
        self._link_index = link_index
        self._stub: IPAddress | None = None
        self._restarted = asyncio.Event()

    @classmethod
    async def find(cls, interface: str, run: Path = RUN) -> "Resolved | None":
        """Return the driver if resolved runs here."""
        if not was_started(run):
            return None
        from appliance.host.dbus import resolve1

        try:
            bus = await _open_bus()
        except HostError as error:
            _log.info("systemd-resolved is left alone: %s", error)
            return None
        try:
            if await resolve1.is_running(bus):
                return cls(bus, interface, run)
        except HostError as error:
            _log.info("systemd-resolved is left alone: %s", error)
        bus.close()
        return None

    async def point(self, stub: IPAddress) -> None:
        """Let resolved ask the stub alone."""
        self._stub = stub
        await self._tell()

    async def restore(self) -> None:
        """Let resolved forget our link; without the link it has already."""
        from appliance.host.dbus import resolve1

        self._stub = None
        bus, self._bus = self._bus, None
        if bus is None:
            return
        try:
            await resolve1.revert(bus, self._link_index(self._interface))
        except OSError:
            return  # the link is gone, and with it what resolved knew of it
        except HostError as error:
            raise DnsError(f"systemd-resolved keeps our resolver for now: {error}") from None
        finally:
            bus.close()

    def upstreams(self) -> tuple[AddrPort, ...]:
        """Return the servers that resolved has from the uplinks and its own settings."""
        return read_upstreams(self._run)

    async def guard(self) -> None:
        """Tell resolved again when it, or the bus, has started anew."""
        from appliance.host.dbus import resolve1

        while True:
            try:
                if self._bus is None:
                    self._bus = await self._open_bus()
                    await self._tell()
                await resolve1.watch(self._bus, self._restarted.set)
                await self._tell_after_restarts(self._bus)
            except (HostError, DnsError) as error:
                _log.warning("%s", error)
            if self._bus is not None:
                self._bus.close()
                self._bus = None
            await asyncio.sleep(RETRY_S)

    async def _tell_after_restarts(self, bus: "SystemBus") -> None:
        from appliance.host.dbus import resolve1

        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._restarted.wait()
            except TimeoutError:
                await resolve1.is_running(bus)  # raises when the bus is gone
                continue
            self._restarted.clear()
            await self._tell()
            _log.info("systemd-resolved started anew; it was told to ask the exit node again")

    async def _tell(self) -> None:
        from appliance.host.dbus import resolve1

        if self._stub is None:
            return
        try:
            if self._bus is None:
                self._bus = await self._open_bus()
            index = self._link_index(self._interface)
            await resolve1.take_everything(self._bus, index, (self._stub,))
        except (HostError, OSError) as error:
            raise DnsError(
                f"systemd-resolved cannot be told to ask the exit node ({error}), so names are "
                "not looked up while it is in use."
            ) from None


async def _open_bus() -> "SystemBus":
    from appliance.host.dbus.bus import SystemBus

    return await SystemBus.open()
