"""An underlay without a network, for tests of the agent."""

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address

from appliance.aio.latest import Latest
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.underlay.config import (
    Direct,
    Path,
    PingResult,
    Relayed,
    UnderlayConfig,
    UnderlayMemory,
    UnderlayStatus,
)
from appliance.underlay.errors import UnknownPeerError

_FIRST_PROXY_PORT = 50_001


class FakeUnderlay:
    """Gives each peer a proxy address and the path that the test wants."""

    def __init__(self) -> None:
        self.status: Latest[UnderlayStatus] = Latest(UnderlayStatus())
        self.memory: Latest[UnderlayMemory] = Latest(UnderlayMemory())
        self.configs: list[UnderlayConfig] = []
        """Every config that was applied, in order."""
        self.network_changes = 0

    def proxy_endpoint(self, peer: NodePublic) -> AddrPort:
        """Return the peer's port, which it keeps as long as this object lives."""
        ports = self.memory.value.proxy_ports
        if peer not in ports:
            raise UnknownPeerError(f"The netmap has no peer {peer}.")
        return AddrPort(IPv4Address("127.0.0.1"), ports[peer])

    async def apply(self, config: UnderlayConfig) -> None:
        """Write the config down and number the new peers' ports."""
        self.configs.append(config)
        ports = dict(self.memory.value.proxy_ports)
        for peer in config.peers:
            ports.setdefault(peer, _FIRST_PROXY_PORT + len(ports))
        disco_keys = {p.key: p.disco_key for p in config.peers.values() if p.disco_key}
        self.memory.set(UnderlayMemory(ports, disco_keys))
        paths: dict[NodePublic, Path] = {
            peer.key: Relayed(peer.home_derp) for peer in config.peers.values()
        }
        self.status.set(replace(self.status.value, paths=paths | dict(self._kept(config))))

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()

    async def ping(self, peer: NodePublic, timeout_s: float = 5.0) -> PingResult | None:
        """Answer at once by the present path; None when there is no relay either."""
        match self.status.value.paths.get(peer):
            case None:
                raise UnknownPeerError(f"The netmap has no peer {peer}.")
            case Direct() as path:
                return PingResult(path, path.latency_s)
            case Relayed(region) as path:
                return PingResult(path, min(0.05, timeout_s)) if region else None

    def network_changed(self) -> None:
        """Count it."""
        self.network_changes += 1

    async def netcheck(self) -> UnderlayStatus:
        """Return the present status."""
        return self.status.value

    def pretend(self, status: UnderlayStatus) -> None:
        """Tell the agent this from now on."""
        self.status.set(status)

    def pretend_path(self, peer: NodePublic, path: Path) -> None:
        """Tell the agent that the peer is reached this way."""
        old = self.status.value
        self.status.set(replace(old, paths={**old.paths, peer: path}))

    def _kept(self, config: UnderlayConfig) -> list[tuple[NodePublic, Path]]:
        return [item for item in self.status.value.paths.items() if item[0] in config.peers]
