r"""WireGuard devices as values, and the text by which wireguard-go is configured.

A change: ``set=1\n``, ``key=value\n`` lines, an empty line; the answer is ``errno=N\n\n``. A
question: ``get=1\n\n``; the answer is ``key=value`` lines, ``errno=0`` and an empty line. Lines of
the device come first; each ``public_key`` line opens a peer. Keys are lower-case hex, endpoints
``1.2.3.4:5`` or ``[::1]:5``. Errors are negative errno numbers without the sign, as the server
writes them with it.

The same values describe a device of the kernel. Nothing is said about ``preshared_key``,
``persistent_keepalive_interval`` and ``protocol_version``: a mesh node uses none of them.

Source: WireGuard's cross-platform userspace documentation; wireguard-go device/uapi.go, 2023-12.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from appliance.protocol.addresses import AddrPort, IPNetwork, parse_network
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate, NodePublic

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""10,000 peers with 10 networks each are 6 MB of text; more is not a device of ours."""


@dataclass(frozen=True, slots=True)
class WireGuardPeer:
    """A peer as a device has it."""

    endpoint: AddrPort | None = None
    allowed_ips: frozenset[IPNetwork] = frozenset()
    rx_bytes: int = 0
    tx_bytes: int = 0
    last_handshake: float | None = None
    """Seconds since the epoch; None before the first handshake."""


@dataclass(frozen=True, slots=True)
class WireGuardDevice:
    """A device and its peers; numbers are 0 and the key None where they are not set."""

    private_key: NodePrivate | None = None
    listen_port: int = 0
    fwmark: int = 0
    peers: Mapping[NodePublic, WireGuardPeer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PeerChange:
    """What changes of a peer; None and the empty set mean unchanged.

    ``update_only`` leaves a peer alone that the device does not know (otherwise it is added).
    ``replace_allowed_ips`` empties the list first, which a busy tunnel may notice.
    """

    key: NodePublic
    remove: bool = False
    update_only: bool = False
    endpoint: AddrPort | None = None
    replace_allowed_ips: bool = False
    allowed_ips: frozenset[IPNetwork] = frozenset()


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """What changes of a device, in the order in which it is carried out."""

    private_key: NodePrivate | None = None
    fwmark: int | None = None
    listen_port: int | None = None
    peers: tuple[PeerChange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self == DeviceChange()


GET_REQUEST = b"get=1\n\n"


def encode_set(change: DeviceChange) -> bytes:
    """Write a change; the result holds the private key when that changes."""
    lines = ["set=1"]
    if change.private_key is not None:
        lines.append(f"private_key={change.private_key.raw.hex()}")
    if change.fwmark is not None:
        lines.append(f"fwmark={change.fwmark}")
    if change.listen_port is not None:
        lines.append(f"listen_port={change.listen_port}")
    for peer in change.peers:
        lines += _peer_lines(peer)
    return ("\n".join(lines) + "\n\n").encode()


def _peer_lines(peer: PeerChange) -> Iterator[str]:
    yield f"public_key={peer.key.raw.hex()}"
    if peer.remove:
        yield "remove=true"
        return
    if peer.update_only:
        yield "update_only=true"
    if peer.endpoint is not None:
        yield f"endpoint={peer.endpoint}"
    if peer.replace_allowed_ips:
        yield "replace_allowed_ips=true"
    for network in sorted(peer.allowed_ips, key=str):
        yield f"allowed_ip={network}"


def parse_errno(answer: bytes) -> int:
    """Read how a request ended: 0, or an errno number."""
    return _number(_split(answer)[-1][1])


def parse_device(answer: bytes) -> WireGuardDevice:
    """Read a device; lines that we do not know are ignored."""
    own: dict[str, str] = {}
    peers: dict[NodePublic, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] | None = None
    for name, value in _split(answer):
        if name == "public_key":
            current = peers.setdefault(NodePublic(_hex(value)), [])
        elif current is None:
            own[name] = value
        else:
            current.append((name, value))
    private_key = NodePrivate(_hex(own.get("private_key", "0" * 64)))
    return WireGuardDevice(
        private_key=None if private_key.is_zero else private_key,
        listen_port=_number(own.get("listen_port", "0")),
        fwmark=_number(own.get("fwmark", "0")),
        peers={key: _parse_peer(lines) for key, lines in peers.items()},
    )


def _parse_peer(lines: list[tuple[str, str]]) -> WireGuardPeer:
    single = dict(lines)
    seconds = _number(single.get("last_handshake_time_sec", "0"))
    fraction = _number(single.get("last_handshake_time_nsec", "0")) / 1e9
    return WireGuardPeer(
        endpoint=AddrPort.parse(single["endpoint"]) if "endpoint" in single else None,
        allowed_ips=frozenset(parse_network(v) for name, v in lines if name == "allowed_ip"),
        rx_bytes=_number(single.get("rx_bytes", "0")),
        tx_bytes=_number(single.get("tx_bytes", "0")),
        last_handshake=seconds + fraction if seconds or fraction else None,
    )


def _split(answer: bytes) -> list[tuple[str, str]]:
    """Split into (name, value); the last is the errno line, without which nothing is whole."""
    if len(answer) > MAX_ANSWER_BYTES or not answer.endswith(b"\n\n"):
        raise ProtocolError("a WireGuard answer is cut off or too long")
    try:
        lines = answer[:-2].decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise ProtocolError("a WireGuard answer is not plain text") from None
    pairs = [(name, value) for name, _, value in (line.partition("=") for line in lines)]
    if pairs[-1][0] != "errno":
        raise ProtocolError("a WireGuard answer has no errno line")
    return pairs


def _number(value: str) -> int:
    digits = value.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise ProtocolError("a WireGuard answer has a number that is none")
    return abs(int(value))


def _hex(value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ProtocolError("a WireGuard answer has a key that is none") from None
