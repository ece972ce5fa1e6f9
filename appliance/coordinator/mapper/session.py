"""What one viewer has been told on one map stream, and what to tell it next.

The session compares what the viewer was told with what is true now, for the nodes that a change
names. So it speaks only of nodes that this viewer knows, says nothing twice, and two changes that
cancel out say nothing at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from appliance.coordinator.change import Change
from appliance.coordinator.mapper.delta import peer_delta
from appliance.coordinator.mapper.nodes import owner_id, render_profile, render_self
from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import TAGGED_DEVICES_ID, NodeRecord
from appliance.protocol.tailcfg import (
    Debug,
    FilterRule,
    MapResponse,
    Node,
    PeerChange,
    UserProfile,
)

_NO_SSH: Final[dict[str, Any]] = {"rules": []}

# What a node told us of itself: sending it back would only make clients rebuild their netmap.
_ECHO: Final = {
    "endpoints": None,
    "derp": "",
    "home_derp": 0,
    "disco_key": None,
    "hostinfo": None,
    "cap": 0,
}


@dataclass(slots=True)
class _Draft:
    """A message in the making, and what must follow it in another one."""

    changed: list[Node] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    patches: list[PeerChange] = field(default_factory=list)
    later_patches: list[PeerChange] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)

    def messages(self) -> list[MapResponse]:
        fields = dict(self.rest)
        for name in ("changed", "removed"):
            if values := getattr(self, name):
                fields[f"peers_{name}"] = tuple(values)
        if self.patches:
            fields["peers_changed_patch"] = tuple(self.patches)
        first = [MapResponse(**fields)] if fields else []
        if self.later_patches:
            first.append(MapResponse(peers_changed_patch=tuple(self.later_patches)))
        return first


class MapSession:
    """One map stream as a state machine: views and changes in, messages out."""

    __slots__ = ("_profiles", "_rules", "_self", "_told", "viewer_id")

    def __init__(self, viewer_id: int) -> None:
        self.viewer_id = viewer_id
        self._told: View | None = None
        self._self: Node | None = None
        self._rules: tuple[FilterRule, ...] = ()
        self._profiles: dict[int, UserProfile] = {}

    def first(self, view: View, now: datetime) -> MapResponse:
        """Say everything; the viewer must exist."""
        viewer = view.snapshot.nodes[self.viewer_id]
        self._told = view
        self._self = render_self(view.snapshot, viewer, view.tailnet)
        self._rules = view.rules_for(viewer)
        peers = tuple(view.peer(viewer, n) for n in sorted(view.peers) if view.sees(viewer, n))
        owners = {owner_id(viewer), *(peer.user for peer in peers)}
        return MapResponse(
            node=self._self,
            peers=peers,
            derp_map=view.tailnet.derp_map,
            dns_config=view.tailnet.dns,
            domain=view.tailnet.domain,
            collect_services=False,
            packet_filters={"base": self._rules},
            user_profiles=self._new_profiles(view, owners),
            ssh_policy=_NO_SSH,
            debug=Debug(disable_log_tail=True),
            control_time=now,
        )

    def next(self, view: View, change: Change) -> list[MapResponse]:
        """Say what a change means to this viewer: no, one or two messages, in order."""
        told = self._told
        viewer = view.snapshot.nodes.get(self.viewer_id)
        if told is None or viewer is None:
            return []
        draft = _Draft()
        for node_id in self._to_look_at(told, view, change):
            self._compare_peer(draft, told, view, viewer, node_id)
        self._compare_rest(draft, view, viewer, change)
        profiles = self._new_profiles(view, self._owners(draft, view, viewer, change))
        if profiles:
            draft.rest["user_profiles"] = profiles
            # Clients of 1.102 show new owners only after something that rebuilds their netmap.
            draft.rest["domain"] = view.tailnet.domain
        self._told = view
        return draft.messages()

    def farewell(self, now: datetime) -> list[MapResponse]:
        """Tell a deleted viewer that its key is worth nothing, so that it logs out at once."""
        if self._self is None:
            return []
        return [MapResponse(node=msgspec.structs.replace(self._self, key_expiry=now))]

    def _to_look_at(self, told: View, view: View, change: Change) -> Iterable[int]:
        if change.everyone or self.viewer_id in change.regrouped:
            return sorted(told.peers.keys() | view.peers.keys())
        return sorted(change.nodes)

    def _compare_peer(
        self, draft: _Draft, told: View, view: View, viewer: NodeRecord, node_id: int
    ) -> None:
        before = told.snapshot.nodes[self.viewer_id]
        old = told.peer(before, node_id) if told.sees(before, node_id) else None
        new = view.peer(viewer, node_id) if view.sees(viewer, node_id) else None
        if old is new:
            return
        if new is None:
            draft.removed.append(node_id)
        elif old is None:
            draft.changed.append(new)
        else:
            delta = peer_delta(old, new)
            if delta.whole:
                draft.changed.append(delta.whole)
            if delta.patch:
                draft.patches.append(delta.patch)
            if delta.then_patch:
                draft.later_patches.append(delta.then_patch)

    def _compare_rest(self, draft: _Draft, view: View, viewer: NodeRecord, change: Change) -> None:
        told = self._told
        if change.everyone or change.regrouped:
            rules = view.rules_for(viewer)
            if rules != self._rules:
                self._rules = rules
                draft.rest["packet_filters"] = {"base": rules}
        if change.everyone or self.viewer_id in change.nodes:
            new = render_self(view.snapshot, viewer, view.tailnet)
            if self._self is None or _news(self._self) != _news(new):
                draft.rest["node"] = new
            self._self = new
        if told is not None and told.tailnet is not view.tailnet:
            draft.rest["derp_map"] = view.tailnet.derp_map
            draft.rest["dns_config"] = view.tailnet.dns

    def _owners(self, draft: _Draft, view: View, viewer: NodeRecord, change: Change) -> set[int]:
        owners = {owner_id(viewer), *(node.user for node in draft.changed)}
        if change.everyone:
            owners |= {n for n in self._profiles if _exists(view, n)}
        return owners

    def _new_profiles(self, view: View, owners: set[int]) -> tuple[UserProfile, ...] | None:
        found = {n: render_profile(view.snapshot, n) for n in sorted(owners)}
        news = {n: p for n, p in found.items() if self._profiles.get(n) != p}
        self._profiles.update(news)
        return tuple(news.values()) or None


def _news(node: Node) -> Node:
    return msgspec.structs.replace(node, **_ECHO)


def _exists(view: View, user_id: int) -> bool:
    return user_id == TAGGED_DEVICES_ID or user_id in view.snapshot.users
