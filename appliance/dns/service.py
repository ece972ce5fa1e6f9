"""Names while an exit node is in use: the stub answers, the host asks it, nobody else is asked.

Costs nothing before it is needed: the parts are loaded when a config first asks for them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from operator import ne
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.aio.latest import Latest
from appliance.dns.config import DnsConfig
from appliance.dns.errors import DnsError
from appliance.protocol.addresses import AddrPort, IPAddress

if TYPE_CHECKING:
    from appliance.dns.os.driver import HostResolver
    from appliance.dns.resolver import Resolver
    from appliance.dns.server import StubServer

_log = logging.getLogger(__name__)

RETRY_S: Final = 10.0
"""A host whose resolver refused to be pointed at us is asked again so soon."""

ChooseHost = Callable[[str], Awaitable[tuple["HostResolver", ...]]]
OpenStub = Callable[[tuple[IPAddress, ...], "Resolver"], "StubServer"]


class DnsService:
    """Makes the machine's name lookups match a ``DnsConfig`` (the ``Dns`` of the agent's rooms).

    What the host refuses is told by ``problem`` and tried again. Lookups go nowhere meanwhile: the
    gateway holds them back.
    """

    def __init__(
        self,
        record: Path,
        choose_host: ChooseHost | None = None,
        open_stub: OpenStub | None = None,
    ) -> None:
        """Take the file that remembers what resolv.conf was."""
        self._record = record
        self._choose_host = choose_host or self._choose
        self._open_stub = open_stub or _open_stub
        self._config: DnsConfig | None = None
        self._stub: StubServer | None = None
        self._resolver: Resolver | None = None
        self._host: tuple[HostResolver, ...] = ()
        self._refusal = ""
        self._changes = Latest(0)
        self._lock = asyncio.Lock()

    @property
    def problem(self) -> str:
        """Why names are not looked up, as a sentence; empty when they are, as far as we know."""
        return self._refusal or (self._resolver.problem if self._resolver is not None else "")

    async def apply(self, config: DnsConfig) -> None:
        """Change only what differs."""
        async with self._lock:
            if config == self._config and not self._refusal:
                return
            if not config.stub:
                await self._let_go()
            else:
                await self._take_over(config)
            self._config = config
            self._changes.set(self._changes.value + 1)

    async def look_up(self, host: str, fwmark: int) -> tuple[IPAddress, ...]:
        """Return a name's addresses, asked past the tunnel: for the agent's own connections."""
        from appliance.dns.os.choose import own_servers
        from appliance.dns.resolver import look_up_past_the_tunnel

        return await look_up_past_the_tunnel(host, own_servers(self._record), fwmark)

    async def run(self) -> None:
        """Answer queries and keep the host asking us, until cancelled."""
        while True:
            before = self._changes.value
            async with asyncio.TaskGroup() as tasks:
                running = []
                if self._stub is not None:
                    running.append(tasks.create_task(self._stub.run(), name="dns stub"))
                running += [
                    tasks.create_task(one.guard(), name=f"dns guard: {one.kind}")
                    for one in self._host
                ]
                if self._refusal:
                    running.append(tasks.create_task(self._try_again(), name="dns retry"))
                await self._changes.wait_for(partial(ne, before))
                for task in running:
                    task.cancel()

    async def clean_up(self) -> None:
        """Give the host its resolver back, also after a crash of an earlier run."""
        async with self._lock:
            await self._let_go()
            self._config = None
            self._changes.set(self._changes.value + 1)

    async def _take_over(self, config: DnsConfig) -> None:
        """Have the stub listen before the host is pointed at it."""
        from appliance.dns.resolver import Resolver

        problems: list[str] = []
        if self._resolver is None:
            self._resolver = Resolver(self._own_servers)
        await self._resolver.apply(config)
        if self._stub is None or self._config is None or self._config.stub != config.stub:
            self._close_stub()
            try:
                self._stub = self._open_stub(config.stub, self._resolver)
            except DnsError as error:
                problems.append(str(error))
        if not self._host:
            self._host = await self._choose_host(config.interface)
        for one in self._host:
            try:
                await (one.point(config.stub[0]) if config.point_host else one.restore())
            except DnsError as error:
                problems.append(str(error))
        self._refused(" ".join(problems))

    async def _let_go(self) -> None:
        if not self._host and self._record.exists():  # an earlier run left it
            self._host = await self._choose_host("")
        host, self._host = self._host, ()
        for one in host:
            try:
                await one.restore()
            except DnsError as error:
                _log.warning("%s", error)
        self._close_stub()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None
        self._refusal = ""

    async def _try_again(self) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            if self._config is not None:
                await self.apply(self._config)

    def _close_stub(self) -> None:
        if self._stub is not None:
            self._stub.close()
            self._stub = None

    def _own_servers(self) -> tuple[AddrPort, ...]:
        return next((found for one in self._host if (found := one.upstreams())), ())

    def _refused(self, sentence: str) -> None:
        if sentence and sentence != self._refusal:
            _log.warning("%s", sentence)
        self._refusal = sentence

    async def _choose(self, interface: str) -> "tuple[HostResolver, ...]":
        from appliance.dns.os.choose import choose_host_resolvers

        return await choose_host_resolvers(interface, self._record)


def _open_stub(addresses: tuple[IPAddress, ...], resolver: "Resolver") -> "StubServer":
    from appliance.dns.server import StubServer

    return StubServer(addresses, resolver.resolve, resolver.is_client)
