"""The tailnet at one moment, rendered once for all viewers.

A node looks the same to every peer that may see it, so its rendering is made when its record
changes and shared by all map streams.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.coordinator.change import Change
from appliance.coordinator.mapper.nodes import render_peer
from appliance.coordinator.mapper.tailnet import Tailnet
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import AllowAll, Policy
from appliance.protocol.tailcfg import FilterRule, Node


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot with what the mapper needs beside it."""

    snapshot: Snapshot
    tailnet: Tailnet
    policy: Policy = field(default_factory=AllowAll)
    peers: Mapping[int, Node] = field(default_factory=dict)
    """Every node as its peers see it."""

    def sees(self, viewer: NodeRecord, other_id: int) -> bool:
        """Whether the viewer may know this other node."""
        other = self.snapshot.nodes.get(other_id)
        if other is None or other_id == viewer.id or viewer.id in self.snapshot.expired:
            return False
        return self.policy.may_meet(self.snapshot, viewer, other)

    def rules_for(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the viewer's packet filter; an expired node lets nothing in."""
        if viewer.id in self.snapshot.expired:
            return ()
        return self.policy.rules_for(self.snapshot, viewer)


def first_view(snapshot: Snapshot, tailnet: Tailnet, policy: Policy) -> View:
    """Render everything."""
    peers = {n: render_peer(snapshot, record, tailnet) for n, record in snapshot.nodes.items()}
    return View(snapshot, tailnet, policy, peers)


def next_view(previous: View, snapshot: Snapshot, change: Change) -> View:
    """Render only what changed; a rendering that came out equal stays the same object."""
    peers = dict(previous.peers)
    for node_id in change.nodes:
        record = snapshot.nodes.get(node_id)
        if record is None:
            peers.pop(node_id, None)
            continue
        rendered = render_peer(snapshot, record, previous.tailnet)
        if peers.get(node_id) != rendered:
            peers[node_id] = rendered
    return View(snapshot, previous.tailnet, previous.policy, peers)
