"""The contract that every gateway driver keeps."""

from typing import Protocol

from appliance.gateway.config import Flow, GatewayConfig, GatewayStatus
from appliance.gateway.profile import Setting


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

    async def flows(self) -> tuple[Flow, ...]:
        """Read the connections that peers opened to us or through us, and that may go on."""

    async def profile(self) -> tuple[Setting, ...]:
        """Read what the config in force needs of this host, and how each of it stands.

        Never fails for what the host refuses: that is a ``Setting`` too.
        """

    async def clean_up(self) -> None:
        """Remove everything we ever install, also what a crashed run left.

        The packet filter goes too, so remove the tunnel first.
        """

    async def guard(self) -> None:
        """Put back what others take away, until cancelled."""
