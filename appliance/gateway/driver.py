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
        then dropped from its first packet on. Routes into the tunnel follow once it is up, so
        call again; before default routes (``use_exit``) the device must have its fwmark.
        """

    async def observe(self) -> GatewayStatus:
        """Read what of ours the kernel really has."""

    async def clean_up(self) -> None:
        """Remove everything we ever install, also what a crashed run left.

        The packet filter goes too, so remove the tunnel first.
        """

    async def guard(self) -> None:
        """Put back what others take away, until cancelled."""
