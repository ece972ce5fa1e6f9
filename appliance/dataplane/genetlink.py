"""The kernel's WireGuard over generic netlink.

Payload of a request: command u8 | version u8 (1) | zero u16 | attributes (``host.netlink``).
Device: IFNAME, PRIVATE_KEY, LISTEN_PORT, FWMARK, PEERS, a list of peers; peer: PUBLIC_KEY, FLAGS,
ENDPOINT (a sockaddr), counters, ALLOWEDIPS, a list of networks. A dump may cut a peer in two: what
goes on later carries the key and networks only.

Source: linux include/uapi/linux/{wireguard,genetlink}.h, 6.12.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from appliance.host.netlink import (
    attribute,
    attribute_text,
    attribute_u8,
    attribute_u16,
    attribute_u32,
    nested,
    number,
    parse_attributes,
)
from appliance.protocol.addresses import AddrPort, IPNetwork
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.wireguard import DeviceChange, PeerChange, WireGuardDevice, WireGuardPeer

GENL_ID_CTRL: Final = 16
FAMILY_NAME: Final = "wireguard"

_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_ATTR_FAMILY_ID: Final = 1
_CTRL_ATTR_FAMILY_NAME: Final = 2

_GET_DEVICE: Final = 0
_SET_DEVICE: Final = 1

_DEVICE_IFNAME: Final = 2
_DEVICE_PRIVATE_KEY: Final = 3
_DEVICE_LISTEN_PORT: Final = 6
_DEVICE_FWMARK: Final = 7
_DEVICE_PEERS: Final = 8

_PEER_PUBLIC_KEY: Final = 1
_PEER_FLAGS: Final = 3
_PEER_ENDPOINT: Final = 4
_PEER_LAST_HANDSHAKE: Final = 6
_PEER_RX_BYTES: Final = 7
_PEER_TX_BYTES: Final = 8
_PEER_ALLOWED_IPS: Final = 9

_PEER_REMOVE_ME: Final = 1
_PEER_REPLACE_ALLOWED_IPS: Final = 2
_PEER_UPDATE_ONLY: Final = 4

_ALLOWED_IP_FAMILY: Final = 1
_ALLOWED_IP_ADDRESS: Final = 2
_ALLOWED_IP_LENGTH: Final = 3

_HEADER: Final = struct.Struct("=BBH")
_SOCKADDR_IN: Final = struct.Struct("=H2s4s8x")
_SOCKADDR_IN6: Final = struct.Struct("=H2sI16sI")
_TIMESPEC: Final = struct.Struct("=qq")

NETWORKS_AT_ONCE: Final = 200
"""A peer's networks are sent in pieces: 200 of IPv6 are 9 KB of the 64 KB an attribute holds."""
_REQUEST_BYTES: Final = 30_000
"""Peers are sent together up to this size, below the attribute's limit by more than one peer."""


def encode_family_query() -> bytes:
    """Ask for WireGuard's family number; the kernel loads its module for it."""
    header = _HEADER.pack(_CTRL_CMD_GETFAMILY, 1, 0)
    return header + attribute_text(_CTRL_ATTR_FAMILY_NAME, FAMILY_NAME)


def parse_family(answer: bytes) -> int:
    """Read the family number, 0 when there is none."""
    return number(dict(parse_attributes(answer, _HEADER.size)).get(_CTRL_ATTR_FAMILY_ID, b""))


def encode_get(interface: str) -> bytes:
    """Ask for a device with all its peers."""
    return _HEADER.pack(_GET_DEVICE, 1, 0) + attribute_text(_DEVICE_IFNAME, interface)


def encode_set(interface: str, change: DeviceChange) -> list[bytes]:
    """Write a change as one request, or as several when there are many peers."""
    header = _HEADER.pack(_SET_DEVICE, 1, 0) + attribute_text(_DEVICE_IFNAME, interface)
    own = b""
    if change.private_key is not None:
        own += attribute(_DEVICE_PRIVATE_KEY, change.private_key.raw)
    if change.fwmark is not None:
        own += attribute_u32(_DEVICE_FWMARK, change.fwmark)
    if change.listen_port is not None:
        own += attribute_u16(_DEVICE_LISTEN_PORT, change.listen_port)
    batches = list(_batches(piece for peer in change.peers for piece in _encode_peer(peer)))
    requests = [header + own] if own or not batches else []
    return requests + [header + nested(_DEVICE_PEERS, batch) for batch in batches]


def encode_endpoint_update(interface: str, key: NodePublic, endpoint: AddrPort) -> bytes:
    """Write the one change that must be quick: where a known peer is."""
    change = PeerChange(key, update_only=True, endpoint=endpoint)
    header = _HEADER.pack(_SET_DEVICE, 1, 0) + attribute_text(_DEVICE_IFNAME, interface)
    return header + nested(_DEVICE_PEERS, _encode_peer(change))


def parse_device(rows: Iterable[bytes]) -> WireGuardDevice:
    """Read a dump; a peer that was cut in two becomes one again."""
    own: dict[int, bytes] = {}
    peers: dict[NodePublic, WireGuardPeer] = {}
    for row in rows:
        found = dict(parse_attributes(row, _HEADER.size))
        own = {**found, **own}
        for _, raw in parse_attributes(found.get(_DEVICE_PEERS, b"")):
            _add_peer(peers, dict(parse_attributes(raw)))
    private_raw = own.get(_DEVICE_PRIVATE_KEY, b"")
    return WireGuardDevice(
        private_key=NodePrivate(private_raw)
        if len(private_raw) == 32 and any(private_raw)
        else None,
        listen_port=number(own.get(_DEVICE_LISTEN_PORT, b"")),
        fwmark=number(own.get(_DEVICE_FWMARK, b"")),
        peers=peers,
    )


def _encode_peer(peer: PeerChange) -> Iterator[bytes]:
    """Write a peer; its networks beyond the first piece follow as updates."""
    flags = (
        _PEER_REMOVE_ME * peer.remove
        | _PEER_REPLACE_ALLOWED_IPS * peer.replace_allowed_ips
        | _PEER_UPDATE_ONLY * peer.update_only
    )
    parts = [attribute(_PEER_PUBLIC_KEY, peer.key.raw)]
    if flags:
        parts.append(attribute_u32(_PEER_FLAGS, flags))
    if peer.endpoint is not None:
        parts.append(attribute(_PEER_ENDPOINT, encode_sockaddr(peer.endpoint)))
    networks = [_encode_network(network) for network in peer.allowed_ips]
    yield nested(0, [*parts, _network_list(networks[:NETWORKS_AT_ONCE])])
    follows = [
        attribute(_PEER_PUBLIC_KEY, peer.key.raw),
        attribute_u32(_PEER_FLAGS, _PEER_UPDATE_ONLY),
    ]
    for start in range(NETWORKS_AT_ONCE, len(networks), NETWORKS_AT_ONCE):
        piece = networks[start : start + NETWORKS_AT_ONCE]
        yield nested(0, [*follows, _network_list(piece)])


def _network_list(networks: list[bytes]) -> bytes:
    return nested(_PEER_ALLOWED_IPS, networks) if networks else b""


def _encode_network(network: IPNetwork) -> bytes:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return nested(
        0,
        [
            attribute_u16(_ALLOWED_IP_FAMILY, family),
            attribute(_ALLOWED_IP_ADDRESS, network.network_address.packed),
            attribute_u8(_ALLOWED_IP_LENGTH, network.prefixlen),
        ],
    )


def _batches(pieces: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for piece in pieces:
        if batch and size + len(piece) > _REQUEST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += len(piece)
    if batch:
        yield batch


def _add_peer(peers: dict[NodePublic, WireGuardPeer], found: dict[int, bytes]) -> None:
    raw_key = found.get(_PEER_PUBLIC_KEY, b"")
    if len(raw_key) != 32:
        return
    key = NodePublic(raw_key)
    networks = frozenset(_parse_networks(found.get(_PEER_ALLOWED_IPS, b"")))
    if key not in peers:
        peers[key] = WireGuardPeer(
            endpoint=parse_sockaddr(found.get(_PEER_ENDPOINT, b"")),
            allowed_ips=networks,
            rx_bytes=number(found.get(_PEER_RX_BYTES, b"")),
            tx_bytes=number(found.get(_PEER_TX_BYTES, b"")),
            last_handshake=_parse_time(found.get(_PEER_LAST_HANDSHAKE, b"")),
        )
        return
    first = peers[key]
    peers[key] = WireGuardPeer(
        first.endpoint,
        first.allowed_ips | networks,
        first.rx_bytes,
        first.tx_bytes,
        first.last_handshake,
    )


def _parse_networks(data: bytes) -> Iterator[IPNetwork]:
    for _, raw in parse_attributes(data):
        found = dict(parse_attributes(raw))
        address = found.get(_ALLOWED_IP_ADDRESS, b"")
        length = number(found.get(_ALLOWED_IP_LENGTH, b""))
        if len(address) == 4 and length <= 32:
            yield ipaddress.IPv4Network((address, length))
        elif len(address) == 16 and length <= 128:
            yield ipaddress.IPv6Network((address, length))


def encode_sockaddr(endpoint: AddrPort) -> bytes:
    """Write a ``sockaddr_in`` or ``sockaddr_in6``; a scope must be the interface's number."""
    port = endpoint.port.to_bytes(2, "big")
    if endpoint.ip.version == 4:
        return _SOCKADDR_IN.pack(socket.AF_INET, port, endpoint.ip.packed)
    scope = int(endpoint.ip.scope_id or "0")
    return _SOCKADDR_IN6.pack(socket.AF_INET6, port, 0, endpoint.ip.packed, scope)


def parse_sockaddr(raw: bytes) -> AddrPort | None:
    """Read a socket address; None for anything that is not IP."""
    if len(raw) >= _SOCKADDR_IN.size and raw[:2] == struct.pack("=H", socket.AF_INET):
        _, port, packed = _SOCKADDR_IN.unpack_from(raw)
        return AddrPort(ipaddress.IPv4Address(packed), int.from_bytes(port, "big"))
    if len(raw) >= _SOCKADDR_IN6.size and raw[:2] == struct.pack("=H", socket.AF_INET6):
        _, port, _, packed, scope = _SOCKADDR_IN6.unpack_from(raw)
        address = ipaddress.IPv6Address(packed)
        if scope:
            address = ipaddress.IPv6Address(f"{address}%{scope}")
        return AddrPort(address, int.from_bytes(port, "big"))
    return None


def _parse_time(raw: bytes) -> float | None:
    if len(raw) < _TIMESPEC.size:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack_from(raw)
    return seconds + nanoseconds / 1e9 if seconds or nanoseconds else None
