"""The driver for the kernel's own WireGuard, by generic netlink."""

import asyncio
import contextlib
import errno
from typing import Final

from appliance.dataplane import genetlink
from appliance.dataplane.errors import DataplaneError, NotPermittedError
from appliance.dataplane.tunnel import TunnelDataplane
from appliance.host.errors import NetlinkError
from appliance.host.netlink import NETLINK_GENERIC, NetlinkSocket
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.protocol.wireguard import DeviceChange, WireGuardDevice

_KIND: Final = "wireguard"


def kernel_has_wireguard() -> bool:
    """Whether this kernel has WireGuard, or loads its module when asked."""
    try:
        with NetlinkSocket(NETLINK_GENERIC) as netlink:
            return _family(netlink) != 0
    except NetlinkError:
        return False


class KernelDataplane(TunnelDataplane):
    """A device of the kernel; it lives on when this program dies."""

    kind = "kernel WireGuard"

    def __init__(self, interface: str) -> None:
        super().__init__(interface)
        self._netlink: NetlinkSocket | None = None
        self._family = 0

    def set_endpoint(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Send to this address from the next packet on; an unknown peer is ignored."""
        self._require_open()
        self._request(genetlink.encode_endpoint_update(self.interface, peer, endpoint))

    async def _connect(self) -> bool:
        self._netlink = NetlinkSocket(NETLINK_GENERIC)
        self._family = _family(self._netlink)
        adopted = self._link.find(_KIND) is not None
        if not adopted:
            self._link.create(_KIND)
        await asyncio.to_thread(self._link.claim)
        return adopted

    def _disconnect(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    async def _remove(self) -> None:
        self._link.delete()

    def _read(self) -> WireGuardDevice:
        try:
            rows = self._socket().dump(self._family, genetlink.encode_get(self.interface))
        except NetlinkError as error:
            raise self._explained(error) from error
        return genetlink.parse_device(rows)

    def _write(self, change: DeviceChange) -> int:
        for request in genetlink.encode_set(self.interface, change):
            try:
                self._socket().request(self._family, request)
            except NetlinkError as error:
                return error.errno
        return 0

    def _request(self, payload: bytes) -> None:
        try:
            self._socket().request(self._family, payload)
        except NetlinkError as error:
            raise self._explained(error) from error

    def _socket(self) -> NetlinkSocket:
        if self._netlink is None:
            raise self._gone()
        return self._netlink

    def _explained(self, error: NetlinkError) -> DataplaneError:
        if error.errno == errno.ENODEV:
            return self._gone()
        if error.errno in (errno.EPERM, errno.EACCES):
            return NotPermittedError(
                "This program may not administer WireGuard; "
                "run it as root or give it CAP_NET_ADMIN."
            )
        return DataplaneError(f"The WireGuard device {self.interface} cannot be used: {error}.")


def _family(netlink: NetlinkSocket) -> int:
    with contextlib.suppress(NetlinkError):
        for answer in netlink.request(genetlink.GENL_ID_CTRL, genetlink.encode_family_query()):
            return genetlink.parse_family(answer)
    return 0
