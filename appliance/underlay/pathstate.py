"""The states of a peer's path, what moves them, and what a path wants done.

``path`` is the machine that walks this table.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.protocol.addresses import AddrPort


class PathState(Enum):
    """Where a peer's path stands."""

    RELAYED = "packets go through the relay, and no ping is on its way"
    PROBING = "packets go through the relay while the candidates are pinged"
    DIRECT = "a pong came lately: packets go straight to the best address"
    UNTRUSTED = "pongs stopped: packets go both ways while the candidates are pinged"


class PathInput(Enum):
    """What moves a path."""

    PROBE = "pings leave"
    PONG = "a ping was answered"
    ADOPT = "an earlier run of this program left a direct path behind"
    EXPIRED = "the trust in the best address ran out"
    SILENCE = "no ping was answered for too long"
    REST = "there was no traffic for a while"
    FORGET = "the network or the peer is another one now"


TRANSITIONS: Final[dict[tuple[PathState, PathInput], PathState]] = {
    (PathState.RELAYED, PathInput.PROBE): PathState.PROBING,
    (PathState.RELAYED, PathInput.ADOPT): PathState.UNTRUSTED,
    (PathState.RELAYED, PathInput.REST): PathState.RELAYED,
    (PathState.RELAYED, PathInput.FORGET): PathState.RELAYED,
    (PathState.PROBING, PathInput.PROBE): PathState.PROBING,
    (PathState.PROBING, PathInput.PONG): PathState.DIRECT,
    (PathState.PROBING, PathInput.SILENCE): PathState.RELAYED,
    (PathState.PROBING, PathInput.REST): PathState.RELAYED,
    (PathState.PROBING, PathInput.FORGET): PathState.RELAYED,
    (PathState.DIRECT, PathInput.PROBE): PathState.DIRECT,
    (PathState.DIRECT, PathInput.PONG): PathState.DIRECT,
    (PathState.DIRECT, PathInput.EXPIRED): PathState.UNTRUSTED,
    (PathState.DIRECT, PathInput.REST): PathState.RELAYED,
    (PathState.DIRECT, PathInput.FORGET): PathState.RELAYED,
    (PathState.UNTRUSTED, PathInput.PROBE): PathState.UNTRUSTED,
    (PathState.UNTRUSTED, PathInput.PONG): PathState.DIRECT,
    (PathState.UNTRUSTED, PathInput.SILENCE): PathState.PROBING,
    (PathState.UNTRUSTED, PathInput.REST): PathState.RELAYED,
    (PathState.UNTRUSTED, PathInput.FORGET): PathState.RELAYED,
}


@dataclass(frozen=True, slots=True)
class Route:
    """Where WireGuard sends the peer's packets: ``endpoint`` None is the relay's proxy.

    ``copy_to`` gets a copy of each packet that the proxy sees.
    """

    endpoint: AddrPort | None = None
    copy_to: AddrPort | None = None


@dataclass(frozen=True, slots=True)
class SendPing:
    """Ping this address with this transaction ID, from the WireGuard port."""

    address: AddrPort
    tx_id: bytes


@dataclass(frozen=True, slots=True)
class SendCallMeMaybe:
    """Ask the peer through the relay to ping our addresses; they must be fresh."""


@dataclass(frozen=True, slots=True)
class SetRoute:
    """Make the device and the proxy send like this."""

    route: Route


Action = SendPing | SendCallMeMaybe | SetRoute
