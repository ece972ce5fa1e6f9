"""The driver for wireguard-go, by its control socket."""

import asyncio
from typing import Final

from appliance.dataplane import process
from appliance.dataplane.discover import WireGuardGo, examine
from appliance.dataplane.errors import DataplaneError, DeviceGoneError
from appliance.dataplane.tunnel import TunnelDataplane
from appliance.protocol.errors import ProtocolError
from appliance.protocol.wireguard import (
    GET_REQUEST,
    DeviceChange,
    WireGuardDevice,
    encode_set,
    parse_device,
    parse_errno,
)

_KIND: Final = "tun"
_UP_TIMEOUT_S: Final = 5.0
"""wireguard-go hears within a millisecond that its interface was switched on."""


class UapiDataplane(TunnelDataplane):
    """A device served by wireguard-go; both live on when this program dies."""

    def __init__(self, interface: str, program: WireGuardGo) -> None:
        super().__init__(interface)
        self._program = program
        self._control: process.ControlSocket | None = None

    @property
    def kind(self) -> str:
        """What moves the packets, in a few words."""
        return str(self._program)

    async def _connect(self) -> bool:
        link = self._link.find(_KIND)
        control = process.connect(self.interface)
        if link is not None and control is None:
            self._link.delete()
            link = None
        adopted = link is not None and control is not None
        if control is None or link is None:
            control = await process.start(self._program.path, self.interface)
        self._control = control
        if adopted:
            await asyncio.to_thread(self._recognise, control.pid)
        await asyncio.to_thread(self._link.claim)
        await self._wait_until_up()
        return adopted

    def _recognise(self, pid: int) -> None:
        """Name the program that really runs: an earlier run may have started another one."""
        path = process.program_of(pid)
        if path is not None and path != self._program.path:
            self._program = examine(path) or self._program

    def _disconnect(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None

    async def _remove(self) -> None:
        control = self._control or process.connect(self.interface)
        self._control = None
        if control is not None:
            await process.stop(control)
        self._link.delete()
        process.forget_socket(self.interface)

    def _read(self) -> WireGuardDevice:
        answer = self._request(GET_REQUEST)
        try:
            return parse_device(answer)
        except ProtocolError as error:
            raise DataplaneError(f"wireguard-go cannot be understood: {error}.") from error

    def _write(self, change: DeviceChange) -> int:
        return parse_errno(self._request(encode_set(change)))

    def _request(self, data: bytes) -> bytes:
        if self._control is None:
            raise self._gone()
        try:
            return self._control.request(data)
        except DeviceGoneError:
            self._disconnect()
            raise

    async def _wait_until_up(self) -> None:
        """Wait until wireguard-go has a port: changes then take effect before they return."""
        if not await process.eventually(lambda: self._read().listen_port != 0, _UP_TIMEOUT_S):
            raise DataplaneError(
                f"wireguard-go does not bring {self.interface} up; its own message is in this log."
            )
