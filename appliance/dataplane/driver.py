"""The contract that every WireGuard driver keeps."""

from typing import Protocol

from appliance.dataplane.config import DataplaneConfig, DeviceStatus
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic


class Dataplane(Protocol):
    """Makes one WireGuard device match a ``DataplaneConfig``.

    Every method raises a ``DataplaneError`` that says what to do. After a crash of the agent the
    device stays up, and the next ``open()`` adopts it with its sessions.
    """

    @property
    def interface(self) -> str:
        """The name of the network interface."""

    @property
    def kind(self) -> str:
        """What moves the packets, in a few words, for status and logs."""

    async def open(self) -> bool:
        """Create the device, or adopt the one that an earlier run left; tell whether it adopted.

        A new device knows no session, so peers must learn that theirs are void.
        """

    async def apply(self, config: DataplaneConfig) -> None:
        """Change only what differs; safe to call again with the same config.

        Endpoints of peers that the device has already stay as they are.
        """

    def set_endpoint(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Send to this address from the next packet on; nothing happens for an unknown peer."""

    def reset_peer(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Drop the peer's session and start it anew from this endpoint, same allowed IPs."""

    def observe(self) -> DeviceStatus:
        """Read the device."""

    async def close(self, *, remove: bool) -> None:
        """Let go of the device; with ``remove`` it disappears, otherwise it keeps running."""

    async def clean_up(self) -> None:
        """Remove our device, also one that an earlier run left; safe when there is none."""
