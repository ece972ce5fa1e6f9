"""A gateway in memory, for tests of the rooms above; keeps the driver's contract."""

import asyncio
import ipaddress

from appliance.gateway.config import Flow, GatewayConfig, GatewayStatus
from appliance.gateway.profile import Setting

_DEFAULT_ROUTES = frozenset({ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")})


class FakeGateway:
    """Remembers every config that differed from the one before it."""

    def __init__(self) -> None:
        self.applied: list[GatewayConfig] = []
        self.settings: tuple[Setting, ...] = ()
        self.tracked: tuple[Flow, ...] = ()
        """What ``flows`` returns."""

    @property
    def config(self) -> GatewayConfig | None:
        """The config in force; None before the first ``apply`` and after ``clean_up``."""
        return self.applied[-1] if self.applied else None

    async def apply(self, config: GatewayConfig) -> None:
        """Take the config; an equal one is no work."""
        if config != self.config:
            self.applied.append(config)

    async def observe(self) -> GatewayStatus:
        """Return what the kernel would say."""
        config = self.config
        if config is None:
            return GatewayStatus(
                ruleset=False,
                rules=0,
                routes=frozenset(),
                local_networks=frozenset(),
                forwarding_ipv4=False,
                forwarding_ipv6=False,
            )
        forwards = bool(config.advertised) or config.serve_exit
        return GatewayStatus(
            ruleset=True,
            rules=2,
            routes=config.routes | (_DEFAULT_ROUTES if config.use_exit else frozenset()),
            local_networks=config.local_networks,
            forwarding_ipv4=forwards,
            forwarding_ipv6=forwards,
        )

    async def flows(self) -> tuple[Flow, ...]:
        """Return what was put into ``tracked``."""
        return self.tracked

    async def profile(self) -> tuple[Setting, ...]:
        """Return what a test put into ``settings``."""
        return self.settings if self.config is not None else ()

    async def guard(self) -> None:
        """Wait for ever: nobody takes anything away."""
        await asyncio.Event().wait()

    async def clean_up(self) -> None:
        """Forget everything."""
        self.applied.clear()
