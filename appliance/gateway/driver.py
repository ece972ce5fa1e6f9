"""The contract that every gateway driver keeps."""

from typing import Protocol

from appliance.gateway.config import GatewayConfig, GatewayStatus


class Gateway(Protocol):
    """Makes the machine's routes, packet filter and NAT match a ``GatewayConfig``.

    Every method raises a ``GatewayError`` that says what to do.
    """

    async def apply(self, config: GatewayConfig) -> None:
        """Change only what differs; safe to call again with the same config.

        With ``filter=None`` this may be called before the tunnel exists: everything from it is
        then dropped from its first packet on.
        """

    async def observe(self) -> GatewayStatus:
        """Read what of ours the kernel really has."""

    async def clean_up(self) -> None:
        """Remove everything we ever install, also what a crashed run left."""
