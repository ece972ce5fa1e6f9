"""The tailnet at one moment, rendered once for all viewers.

A node looks the same to every peer that may see it, so its rendering is made when its record
changes and shared by all map streams.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from appliance.coordinator.change import Change
from appliance.coordinator.mapper.nodes import only_routes, render_peer
from appliance.coordinator.mapper.tailnet import Tailnet
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import Policy, Reach
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, Node

Routes = tuple[IPNetwork, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A snapshot with what the mapper needs beside it; made by the functions below."""

    snapshot: Snapshot
    tailnet: Tailnet
    policy: Policy
    reach: Reach
    """What the policy means for the nodes of this snapshot."""
    peers: Mapping[int, Node]
    """Every node as its peers see it who may use all of its routes."""
    partial: dict[int, tuple[Node, dict[Routes, Node]]] = field(default_factory=dict)
    """A cache, shared by all views: the same with fewer routes, and what each was made of."""

    def sees(self, viewer: NodeRecord, other_id: int) -> bool:
        """Whether the viewer may know this other node."""
        if other_id == viewer.id or other_id not in self.snapshot.nodes:
            return False
        if viewer.id in self.snapshot.expired:
            return False
        return self.reach.may_meet(viewer.id, other_id)

    def peer(self, viewer: NodeRecord, other_id: int) -> Node:
        """Return a node as this viewer may see it: without routes that the policy denies it."""
        whole = self.peers[other_id]
        routes = (whole.allowed_ips or ())[len(whole.addresses or ()) :]
        if not routes:
            return whole
        usable = tuple(prefix for prefix in routes if self.reach.may_use(viewer.id, prefix))
        return whole if usable == routes else self._with_routes(whole, usable)

    def _with_routes(self, whole: Node, routes: Routes) -> Node:
        base, known = self.partial.get(whole.id, (None, {}))
        if base is not whole:
            known = {}
            self.partial[whole.id] = (whole, known)
        if routes not in known:
            known[routes] = only_routes(whole, routes)
        return known[routes]

    def rules_for(self, viewer: NodeRecord) -> tuple[FilterRule, ...]:
        """Return the viewer's packet filter; an expired node lets nothing in."""
        if viewer.id in self.snapshot.expired:
            return ()
        return self.reach.rules_for(viewer)


def first_view(snapshot: Snapshot, tailnet: Tailnet, policy: Policy) -> View:
    """Render everything."""
    peers = {n: render_peer(snapshot, record, tailnet) for n, record in snapshot.nodes.items()}
    return View(snapshot, tailnet, policy, policy.reach(snapshot), peers)


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
    regrouped = change.regrouped or change.everyone
    reach = previous.policy.reach(snapshot) if regrouped else previous.reach
    for node_id in previous.partial.keys() - peers.keys():
        del previous.partial[node_id]
    return View(snapshot, previous.tailnet, previous.policy, reach, peers, previous.partial)


def with_policy(previous: View, policy: Policy) -> View:
    """Put another policy in force."""
    return replace(previous, policy=policy, reach=policy.reach(previous.snapshot))
