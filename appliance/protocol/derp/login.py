"""The two sealed messages that open a DERP connection.

ClientInfo: node's key (32) | nonce (24) | box of JSON, node to relay.
ServerInfo: nonce (24) | box of JSON, relay to node.
The box is NaCl's curve25519-xsalsa20-poly1305 between node key and relay key, tag first. Names in
the JSON are matched without regard to case, as the reference does.

Source: tailscale derp/derp_client.go and derp/derpserver/derpserver.go, 2026-08.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from nacl.bindings import crypto_box, crypto_box_open
from nacl.exceptions import CryptoError

from appliance.protocol.derp.frames import (
    PROTOCOL_VERSION,
    FrameType,
    encode_frame,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import KEY_SIZE, NodePrivate, NodePublic

# From the specification.
NONCE_SIZE: Final = 24
MAX_INFO: Final = 1 << 20

_MESH_KEY_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """What a node says of itself when it logs in."""

    version: int = PROTOCOL_VERSION
    can_ack_pings: bool = True
    is_prober: bool = False
    app_name: str = ""
    mesh_key: str = ""
    """64 lower-case hex digits when the other side is a relay of the same mesh, else empty."""

    def __repr__(self) -> str:
        mesh = ", mesh" if self.mesh_key else ""
        return f"ClientInfo(version={self.version}, prober={self.is_prober}{mesh})"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a relay says of itself: a rate above 0 asks the node to drop what exceeds it."""

    version: int = PROTOCOL_VERSION
    rate_bytes_per_s: int = 0
    burst_bytes: int = 0


def encode_client_info(
    info: ClientInfo, private: NodePrivate, relay: NodePublic, nonce: bytes
) -> bytes:
    """Seal a node's login as a frame; a nonce is used once."""
    values: dict[str, object] = {"version": info.version, "CanAckPings": info.can_ack_pings}
    if info.mesh_key:
        values = {"meshKey": info.mesh_key, **values}
    if info.is_prober:
        values["IsProber"] = True
    if info.app_name:
        values["AppName"] = info.app_name
    box = nonce + crypto_box(msgspec.json.encode(values), nonce, relay.raw, private.raw)
    return encode_frame(FrameType.CLIENT_INFO, private.public().raw + box)


def parse_client_info(
    payload: bytes | memoryview, relay_private: NodePrivate
) -> tuple[NodePublic, ClientInfo]:
    """Open a node's login; the box proves that the node holds the key it names."""
    if len(payload) < KEY_SIZE + NONCE_SIZE:
        raise ProtocolError(f"ClientInfo is too short: {len(payload)} bytes")
    node = NodePublic(bytes(payload[:KEY_SIZE]))
    return node, client_info_from_json(_open(payload[KEY_SIZE:], node, relay_private))


def encode_server_info(
    info: ServerInfo, relay_private: NodePrivate, node: NodePublic, nonce: bytes
) -> bytes:
    """Seal the relay's answer to a login as a frame; a nonce is used once."""
    values = {"version": info.version}
    if info.rate_bytes_per_s:
        values["TokenBucketBytesPerSecond"] = info.rate_bytes_per_s
        values["TokenBucketBytesBurst"] = info.burst_bytes
    box = crypto_box(msgspec.json.encode(values), nonce, node.raw, relay_private.raw)
    return encode_frame(FrameType.SERVER_INFO, nonce + box)


def parse_server_info(
    payload: bytes | memoryview, private: NodePrivate, relay: NodePublic
) -> ServerInfo:
    """Open the relay's answer to a login."""
    values = _json_object(_open(payload, relay, private))
    return ServerInfo(
        version=_integer(values, "version"),
        rate_bytes_per_s=_integer(values, "tokenbucketbytespersecond"),
        burst_bytes=_integer(values, "tokenbucketbytesburst"),
    )


def client_info_from_json(data: bytes) -> ClientInfo:
    """Read the JSON of a login; absent values are zero, a mesh key of another length is refused."""
    values = _json_object(data)
    mesh_key = _text(values, "meshkey").lower()
    if mesh_key and (
        len(mesh_key) != _MESH_KEY_DIGITS or not set(mesh_key) <= set("0123456789abcdef")
    ):
        raise ProtocolError(f"a mesh key has {_MESH_KEY_DIGITS} hex digits")
    return ClientInfo(
        version=_integer(values, "version"),
        can_ack_pings=values.get("canackpings") is True,
        is_prober=values.get("isprober") is True,
        app_name=_text(values, "appname"),
        mesh_key=mesh_key,
    )


def _open(sealed: bytes | memoryview, sender: NodePublic, receiver: NodePrivate) -> bytes:
    if not NONCE_SIZE <= len(sealed) <= NONCE_SIZE + MAX_INFO:
        raise ProtocolError(f"a sealed message of {len(sealed)} bytes is not a login")
    nonce, box = bytes(sealed[:NONCE_SIZE]), bytes(sealed[NONCE_SIZE:])
    try:
        return bytes(crypto_box_open(box, nonce, sender.raw, receiver.raw))
    except (CryptoError, ValueError):
        raise ProtocolError(f"the login does not open with the key of {sender}") from None


def _json_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object with its names in lower case."""
    try:
        values = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        raise ProtocolError("the login does not hold a JSON object") from None
    return {name.lower(): value for name, value in values.items()}


def _integer(values: dict[str, Any], name: str) -> int:
    value = values.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise ProtocolError(f"{name} of a login is not a number in range")
    return value


def _text(values: dict[str, Any], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise ProtocolError(f"{name} of a login is not text")
    return value
