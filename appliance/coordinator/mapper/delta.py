"""The difference between two renderings of one peer, in the form that stock clients get right.

A patch can carry some fields; anything else needs the whole node. Clients 1.86 to 1.94 apply only
the first of a node's home relay and endpoints when one message carries both, so the endpoints then
follow in a message of their own.

Source: tailscale control/controlclient/map.go and types/netmap/nodemut.go, 2026-08.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from appliance.protocol.tailcfg import ZERO_TIME, Node, PeerChange

_IN_PATCH: Final = frozenset(
    {"key", "key_expiry", "disco_key", "endpoints", "derp", "home_derp", "cap", "online"}
)
_FIELDS: Final = tuple(f.name for f in msgspec.structs.fields(Node))


@dataclass(frozen=True, slots=True)
class PeerDelta:
    """How to bring a viewer from one rendering to another."""

    whole: Node | None = None
    """The complete node, where a patch cannot say it."""
    patch: PeerChange | None = None
    then_patch: PeerChange | None = None
    """Belongs into the next message."""


def peer_delta(old: Node, new: Node) -> PeerDelta:
    """Compare two renderings of the same peer."""
    differing = {name for name in _FIELDS if getattr(old, name) != getattr(new, name)}
    # When it was last seen matters only from the moment it is offline.
    if new.last_seen is None:
        differing.discard("last_seen")
    if differing - _IN_PATCH - {"last_seen"}:
        return PeerDelta(whole=new)
    if not differing:
        return PeerDelta()
    if {"endpoints", "home_derp"} <= differing:
        return PeerDelta(
            patch=_patch(new, differing - {"endpoints"}),
            then_patch=_patch(new, {"endpoints"}),
        )
    return PeerDelta(patch=_patch(new, differing))


def _patch(new: Node, differing: set[str]) -> PeerChange:
    changes: dict[str, Any] = {name: getattr(new, name) for name in differing - {"derp"}}
    if "home_derp" in changes:
        changes["derp_region"] = changes.pop("home_derp")
    if "key_expiry" in changes and changes["key_expiry"] is None:
        changes["key_expiry"] = ZERO_TIME
    if "endpoints" in changes and changes["endpoints"] is None:
        changes["endpoints"] = ()
    return PeerChange(node_id=new.id, **changes)
