"""The HTTP/1.1 exchange before the DERP frames.

The node asks ``GET /derp`` with ``Upgrade: DERP``; the relay answers 101 and the frame stream
begins on the same connection. With ``Derp-Fast-Start: 1`` the relay sends no HTTP answer at all:
its first bytes are the ServerKey frame. A node may do so when it knows the relay's key already,
from an extra certificate that the relay appends to its TLS 1.3 chain: common name ``derpkey`` and
the key's 64 hex digits, serial number = protocol version.

Source: tailscale derp/derphttp/derphttp_client.go and derp/derpserver/handler.go, 2026-08.
"""

import re
from collections.abc import Iterable
from enum import Enum
from typing import Final

from appliance.protocol.derp.frames import PROTOCOL_VERSION
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic

# From the specification.
PATH: Final = "/derp"
META_CERTIFICATE_PREFIX: Final = "derpkey"

# Ours: a relay's answer has five short lines; proxies in between add a few.
MAX_RESPONSE_HEAD: Final = 8 * 1024

_META_NAME: Final = re.compile(META_CERTIFICATE_PREFIX.encode() + rb"([0-9a-f]{64})")


class Upgrade(Enum):
    """What a relay does with a request for its DERP path."""

    SWITCH = "answer 101, then frames"
    FAST_START = "no answer, frames at once"
    REFUSE = "answer 426: this is no upgrade to DERP"


def encode_upgrade_request(host: str, *, fast_start: bool, ideal_node: str = "") -> bytes:
    """Ask the relay at ``host`` for frames; ``ideal_node`` names the one we would rather use."""
    lines = [f"GET {PATH} HTTP/1.1", f"Host: {host}", "Upgrade: DERP", "Connection: Upgrade"]
    if ideal_node:
        lines.append(f"Ideal-Node: {ideal_node}")
    if fast_start:
        lines.append("Derp-Fast-Start: 1")
    if any(not line.isprintable() for line in lines):
        raise ProtocolError("the relay's name holds a control character")
    return "\r\n".join((*lines, "", "")).encode()


def split_upgrade_response(data: bytes) -> bytes | None:
    """Return what follows the relay's 101, or None while its answer is incomplete."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end and len(head) <= MAX_RESPONSE_HEAD:
        return None
    if len(head) > MAX_RESPONSE_HEAD:
        raise ProtocolError("the relay's HTTP answer is too long")
    status = head.split(b"\r\n", 1)[0].decode("ascii", "replace")
    if not re.fullmatch(r"HTTP/1\.[01] 101( [ -~]*)?", status):
        shown = "".join(character for character in status[:60] if character.isprintable())
        raise ProtocolError(f"the relay did not switch to DERP, it answered {shown!r}")
    return rest


def encode_upgrade_response(relay: NodePublic) -> bytes:
    """Encode the relay's 101."""
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: DERP",
        "Connection: Upgrade",
        f"Derp-Version: {PROTOCOL_VERSION}",
        f"Derp-Public-Key: {relay.raw.hex()}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


def plan_upgrade(headers: Iterable[tuple[str, str]]) -> Upgrade:
    """Decide from the request's headers.

    Old nodes said ``websocket`` and spoke plain DERP; the real websocket variant, which browsers
    use and which names a subprotocol, is not served here.
    """
    values = {name.lower(): value.strip().lower() for name, value in headers}
    wanted = values.get("upgrade", "")
    if wanted != "derp" and (wanted != "websocket" or "sec-websocket-protocol" in values):
        return Upgrade.REFUSE
    return Upgrade.FAST_START if values.get("derp-fast-start") == "1" else Upgrade.SWITCH


def relay_key_from_certificate(der: bytes) -> NodePublic | None:
    """Find the relay's key in a certificate of its chain; None in any ordinary certificate.

    Trust it only from a TLS 1.3 chain whose leaf was verified.
    """
    match = _META_NAME.search(der)
    return NodePublic(bytes.fromhex(match[1].decode())) if match else None
