"""Approves routes in the name of the policy, where it says whose routes need no admin. Pure.

A node is looked at when it begins to advertise something, when its owner changes, and when another
policy comes into force; never at other times, so that what an admin revokes stays revoked. What
was approved stays approved when the policy no longer says so.

Source: ``autoApprovers`` of Tailscale and Headscale, 2026-08. Exit routes are approved by
``exitNode`` alone, whatever ``routes`` says. What no admin could approve, no policy does either.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from appliance.coordinator import routes
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.rules import AutoApprovers
from appliance.coordinator.policy.selectors import Selector, is_member
from appliance.protocol.addresses import IPAddress, IPNetwork


@dataclass(frozen=True, slots=True)
class Ourselves:
    """Where nodes dial the coordinator."""

    addresses: tuple[IPAddress, ...] = ()
    lans: Callable[[], Collection[IPNetwork]] = tuple
    """The private networks in which they need no route for that; asked only when it matters."""


def approve_news(
    old: Snapshot, new: Snapshot, approvers: AutoApprovers, ourselves: Ourselves
) -> Snapshot:
    """Approve what nodes began to advertise between two snapshots."""
    if not approvers or old.nodes is new.nodes:
        return new
    changed = (n for n, node in new.nodes.items() if _is_news(old.nodes.get(n), node))
    return _approve(new, changed, approvers, ourselves)


def approve_everything(
    snapshot: Snapshot, approvers: AutoApprovers, ourselves: Ourselves
) -> Snapshot:
    """Approve what nodes advertise now."""
    return _approve(snapshot, snapshot.nodes, approvers, ourselves)


def _is_news(old: NodeRecord | None, new: NodeRecord) -> bool:
    if old is new:
        return False
    return old is None or _asked(old) != _asked(new)


def _asked(node: NodeRecord) -> object:
    return (node.hostinfo.routable_ips, node.user_id, node.tags)


def _approve(
    snapshot: Snapshot,
    nodes: Iterable[int],
    approvers: AutoApprovers,
    ourselves: Ourselves,
) -> Snapshot:
    approved = []
    for node in (snapshot.nodes[n] for n in nodes):
        wanted = routes.advertised(node) - node.approved_routes
        found = frozenset(
            prefix for prefix in wanted if _may(snapshot, node, prefix, approvers, ourselves)
        )
        if found:
            approved.append(replace(node, approved_routes=node.approved_routes | found))
    return snapshot.with_nodes(approved) if approved else snapshot


def _may(
    snapshot: Snapshot,
    node: NodeRecord,
    prefix: IPNetwork,
    approvers: AutoApprovers,
    ourselves: Ourselves,
) -> bool:
    if routes.is_exit(prefix):
        return _is_one(snapshot, node, approvers.exit_node)
    if routes.unroutable(prefix):
        return False
    if routes.held(prefix, ourselves.addresses) and not routes.is_home(prefix, ourselves.lans()):
        return False
    return any(
        _contains(wider, prefix) and _is_one(snapshot, node, who)
        for wider, who in approvers.routes.items()
    )


def _contains(wider: IPNetwork, prefix: IPNetwork) -> bool:
    """Whether an approver's prefix covers this one; a default route covers nothing."""
    if wider.version != prefix.version or routes.is_exit(wider):
        return False
    return prefix[0] in wider and prefix[-1] in wider


def _is_one(snapshot: Snapshot, node: NodeRecord, who: tuple[Selector, ...]) -> bool:
    return any(is_member(snapshot, node, selector) for selector in who)
