"""A WireGuard device in memory, for tests of the rooms above; keeps the drivers' contract."""

from dataclasses import replace

from appliance.dataplane.config import DataplaneConfig, DeviceStatus, PeerConfig, PeerStatus
from appliance.dataplane.errors import DeviceGoneError
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic


class FakeDataplane:
    """Keeps the peers in a dictionary and writes down every change of an endpoint."""

    def __init__(self, interface: str = "latchkey0") -> None:
        self.interface = interface
        self.kind = "fake"
        self.is_open = False
        self.config: DataplaneConfig | None = None
        self.changes: list[tuple[str, NodePublic, AddrPort | None]] = []
        """What was done: ("add" | "remove" | "endpoint" | "reset", peer, endpoint)."""
        self._peers: dict[NodePublic, PeerStatus] = {}

    async def open(self) -> bool:
        """Switch the device on, with the peers that it had."""
        self.is_open = True
        return bool(self._peers)

    async def apply(self, config: DataplaneConfig) -> None:
        """Add and remove peers by difference, as the drivers do."""
        self._require_open()
        for key in self._peers.keys() - config.peers.keys():
            del self._peers[key]
            self.changes.append(("remove", key, None))
        for key, peer in config.peers.items():
            if key in self._peers:
                self._peers[key] = replace(self._peers[key], allowed_ips=peer.allowed_ips)
            else:
                self._start_peer("add", peer)
        self.config = config

    def set_endpoint(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Move a known peer; an unknown one is ignored."""
        self._require_open()
        if peer in self._peers:
            self._peers[peer] = replace(self._peers[peer], endpoint=endpoint)
            self.changes.append(("endpoint", peer, endpoint))

    def reset_peer(self, peer: NodePublic, endpoint: AddrPort) -> None:
        """Forget the peer's counters and handshake."""
        self._require_open()
        if peer in self._peers:
            allowed_ips = self._peers[peer].allowed_ips
            self._start_peer("reset", PeerConfig(peer, allowed_ips, endpoint))

    def observe(self) -> DeviceStatus:
        """Return what the device would say."""
        self._require_open()
        listen_port = self.config.listen_port if self.config else 0
        return DeviceStatus(listen_port, dict(self._peers))

    def pretend(
        self,
        peer: NodePublic,
        *,
        endpoint: AddrPort | None = None,
        rx_bytes: int = 0,
        tx_bytes: int = 0,
        last_handshake: float | None = None,
    ) -> None:
        """Act as the network did: add traffic, shake hands, roam (None: unchanged)."""
        old = self._peers[peer]
        self._peers[peer] = replace(
            old,
            endpoint=endpoint or old.endpoint,
            rx_bytes=old.rx_bytes + rx_bytes,
            tx_bytes=old.tx_bytes + tx_bytes,
            last_handshake=old.last_handshake if last_handshake is None else last_handshake,
        )

    async def close(self, *, remove: bool) -> None:
        """Let go; with ``remove`` the peers are forgotten."""
        self.is_open = False
        if remove:
            self._forget()

    async def clean_up(self) -> None:
        """Forget everything."""
        self.is_open = False
        self._forget()

    def _start_peer(self, change: str, peer: PeerConfig) -> None:
        self._peers[peer.key] = PeerStatus(peer.endpoint, 0, 0, None, peer.allowed_ips)
        self.changes.append((change, peer.key, peer.endpoint))

    def _forget(self) -> None:
        self._peers.clear()
        self.config = None

    def _require_open(self) -> None:
        if not self.is_open:
            raise DeviceGoneError(f"{self.interface} is not open")
