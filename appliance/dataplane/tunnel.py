"""What both WireGuard drivers have in common: one device held to a ``DataplaneConfig``.

A driver adds how the device is made and how changes reach it.
"""

import asyncio
import errno
import logging
from abc import ABC, abstractmethod

from appliance.dataplane.config import DataplaneConfig, DeviceStatus, PeerConfig, PeerStatus
from appliance.dataplane.diff import plan_change, plan_reset
from appliance.dataplane.errors import DataplaneError, DeviceGoneError, PortInUseError
from appliance.dataplane.link import TunnelLink
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.protocol.wireguard import DeviceChange, PeerChange, WireGuardDevice

_log = logging.getLogger(__name__)


class TunnelDataplane(ABC):
    """A WireGuard device of this machine (the ``Dataplane`` contract)."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._link = TunnelLink(interface)
        self._config: DataplaneConfig | None = None
        self._is_open = False

    @property
    @abstractmethod
    def kind(self) -> str:
        """What moves the packets, in a few words."""

    async def open(self) -> bool:
        """Create the device, or adopt the one that an earlier run left; tell whether it adopted."""
        if self._is_open:
            return True
        try:
            adopted = await self._connect()
        except BaseException:
            self._disconnect()
            raise
        self._is_open = True
        how = "Took over" if adopted else "Made"
        _log.info("%s the WireGuard device %s (%s)", how, self.interface, self.kind)
        return adopted

    async def apply(self, config: DataplaneConfig) -> None:
        """Change only what differs."""
        self._require_open()
        await asyncio.to_thread(self._link.configure, config.mtu, config.addresses)
        change = plan_change(config, self._read())
        if not change.is_empty:
            self._write_or_explain(change)
        self._config = config

    def set_endpoint(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Send to this address from the next packet on; an unknown peer is ignored."""
        self._require_open()
        change = PeerChange(peer, update_only=True, endpoint=endpoint)
        self._write_or_explain(DeviceChange(peers=(change,)))

    def reset_peer(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Drop the peer's session and start it anew, with the allowed IPs it has."""
        self._require_open()
        present = self._read().peers.get(peer)
        if present is not None:
            again = PeerConfig(peer, present.allowed_ips, endpoint)
            self._write_or_explain(plan_reset(again))

    def observe(self) -> DeviceStatus:
        """Read the device."""
        self._require_open()
        device = self._read()
        peers = {
            key: PeerStatus(
                peer.endpoint, peer.rx_bytes, peer.tx_bytes, peer.last_handshake, peer.allowed_ips
            )
            for key, peer in device.peers.items()
        }
        return DeviceStatus(device.listen_port, peers)

    async def close(self, *, remove: bool) -> None:
        """Let go of the device; it keeps running unless it is to be removed."""
        if remove:
            await self.clean_up()
        self._disconnect()
        self._config = None
        self._is_open = False

    async def clean_up(self) -> None:
        """Remove our device, also one that an earlier run left."""
        self._is_open = False
        await self._remove()

    @abstractmethod
    async def _connect(self) -> bool:
        """Make the device or adopt it (True), and be ready to read and write it."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Forget the device, which stays."""

    @abstractmethod
    async def _remove(self) -> None:
        """Remove the device and what belongs to it; there may be none."""

    @abstractmethod
    def _read(self) -> WireGuardDevice:
        """Read the device and its peers."""

    @abstractmethod
    def _write(self, change: DeviceChange) -> int:
        """Carry out a change; the errno of the refusal, or 0."""

    def _write_or_explain(self, change: DeviceChange) -> None:
        number = self._write(change)
        if number == 0:
            return
        if number == errno.EADDRINUSE:
            raise PortInUseError(
                f"UDP port {change.listen_port} is in use by another program; "
                "stop that program, or choose another port for the tunnel."
            )
        if number == errno.ENODEV:
            raise self._gone()
        raise DataplaneError(
            f"The WireGuard device {self.interface} refused a change "
            f"({errno.errorcode.get(number, number)})."
        )

    def _require_open(self) -> None:
        if not self._is_open:
            raise DeviceGoneError(f"The WireGuard device {self.interface} is not open.")

    def _gone(self) -> DeviceGoneError:
        return DeviceGoneError(
            f"The WireGuard device {self.interface} disappeared while in use; "
            "it has to be opened again."
        )
