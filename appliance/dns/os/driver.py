"""The contract of every way in which a host looks names up."""

from typing import Protocol

from appliance.protocol.addresses import AddrPort, IPAddress


class HostResolver(Protocol):
    """Points this machine's own lookups at our stub, and back.

    Every method raises a ``DnsError`` that says what to do.
    """

    @property
    def kind(self) -> str:
        """What is changed, for people."""

    async def point(self, stub: IPAddress) -> None:
        """Let the host ask the stub alone; safe to call again."""

    async def restore(self) -> None:
        """Give the host its own resolver back, also after a crash of an earlier run."""

    def upstreams(self) -> tuple[AddrPort, ...]:
        """Return the resolvers that the host had of its own, as far as it has learnt them now."""

    async def guard(self) -> None:
        """Put back what others take away, until cancelled."""
