"""A connection to the system bus, with a time limit on everything."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from appliance.host.errors import HostError

if TYPE_CHECKING:
    from dbus_next.aio.message_bus import MessageBus

TIMEOUT_S: Final = 3.0
"""A service that the bus must start first answers within one second on a slow machine."""

_BUS: Final = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


class BusError(HostError):
    """The bus or a service on it did not do what was asked."""


class SystemBus:
    """One connection; ``open`` makes it."""

    def __init__(self, bus: "MessageBus") -> None:
        self._bus = bus

    @classmethod
    async def open(cls, address: str | None = None) -> "SystemBus":
        """Connect to the system bus, or to the bus at an address."""
        try:
            from dbus_next.aio.message_bus import MessageBus
            from dbus_next.constants import BusType
        except ImportError:
            raise BusError("The Python package dbus-next is not installed.") from None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                bus = MessageBus(bus_address=address, bus_type=BusType.SYSTEM)  # type: ignore[arg-type]
                await bus.connect()
        except TimeoutError:
            raise BusError("The system bus does not answer.") from None
        except Exception as error:  # noqa: BLE001 - the library raises plain ones too
            raise BusError(f"The system bus cannot be reached ({error}).") from None
        return cls(bus)

    def close(self) -> None:
        """Disconnect; the library would leave its socket open."""
        bus: Any = self._bus
        with suppress(OSError):
            bus._sock.shutdown(socket.SHUT_RDWR)
        bus._finalize()
        with suppress(OSError):
            bus._stream.close()
        bus._sock.close()

    async def call(
        self, service: tuple[str, str, str], member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """Call a method of (name, path, interface) and return what it answers."""
        from dbus_next.constants import MessageType
        from dbus_next.message import Message

        name, path, interface = service
        message = Message(
            destination=name,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reply = await self._bus.call(message)
        except TimeoutError:
            raise BusError(f"{name} does not answer ({member}).") from None
        except Exception as error:  # noqa: BLE001 - the library raises plain ones too
            raise BusError(f"{name} cannot be asked ({member}: {error}).") from None
        if reply is None:
            raise BusError(f"{name} does not answer ({member}).")
        if reply.message_type == MessageType.ERROR:
            said = reply.body[0] if reply.body else reply.error_name
            raise BusError(f"{name} refuses {member}: {said}")
        return list(reply.body)

    async def has(self, name: str) -> bool:
        """Whether a service of this name runs, or can be started by the bus."""
        [owned] = await self.call(_BUS, "NameHasOwner", "s", name)
        return bool(owned)

    async def watch_name(self, name: str, on_owner: Callable[[str], None]) -> None:
        """Call back with the new owner whenever the name changes hands; "" is nobody."""

        def heard(message: Any) -> None:
            if message.member == "NameOwnerChanged" and message.body[:1] == [name]:
                on_owner(str(message.body[2]))

        rule = f"type='signal',interface='{_BUS[2]}',member='NameOwnerChanged',arg0='{name}'"
        await self.call(_BUS, "AddMatch", "s", rule)
        self._bus.add_message_handler(heard)
