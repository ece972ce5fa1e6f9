"""What a policy would do to the people who run the mesh, before it is in force. Pure.

Admins are the first user and the members of ``group:admin`` or ``group:admins`` of the policy in
question. Gateways are subnet routers, exit nodes and the coordinator's own node. A policy locks
the admins out of a gateway when no rule lets any of their other devices open a TCP connection to
it (its setup page, its shell). A mesh without such devices or gateways has nobody to lock out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.coordinator import routes
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.policy.engine import Policy, Reach
from appliance.coordinator.policy.errors import shown
from appliance.coordinator.policy.rules import PolicyText
from appliance.coordinator.policy.selectors import Auto, Network, NodeIndex, People
from appliance.protocol.addresses import IPAddress

_ADMIN_GROUPS: Final = ("group:admin", "group:admins")

MAX_NOTES: Final = 20
"""More than anybody reads at once."""


@dataclass(frozen=True, slots=True)
class GatewayAccess:
    """One gateway, and which of the admins' devices could open connections to it."""

    node: NodeRecord
    role: str
    """For people: subnet router, exit node, coordinator."""
    devices: tuple[NodeRecord, ...]
    by: tuple[NodeRecord, ...]

    @property
    def is_locked(self) -> bool:
        """Whether there are devices, and none gets through."""
        return bool(self.devices) and not self.by


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an admin should know before a policy takes effect."""

    admins: tuple[str, ...]
    gateways: tuple[GatewayAccess, ...]
    notes: tuple[str, ...]
    """What is probably not meant, but locks nobody out."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each gateway that would be out of the admins' reach."""
        people = " or ".join(self.admins[:3])
        return tuple(
            f"No rule lets a device of {people} open connections to {gateway.node.name} "
            f"({gateway.role}, {gateway.node.ipv4})."
            for gateway in self.gateways
            if gateway.is_locked
        )


def check_policy(
    snapshot: Snapshot, policy: Policy, coordinator: Iterable[IPAddress] = ()
) -> Verdict:
    """Try a policy on the present nodes; ``coordinator``: the addresses that nodes dial."""
    reach = policy.reach(snapshot)
    admins = _admins(snapshot, policy.said)
    devices = [node for node in _present(snapshot) if node.user_id in admins]
    found = [_access(reach, node, role, devices) for node, role in _gateways(snapshot, coordinator)]
    names = tuple(snapshot.users[n].name for n in admins)
    notes = tuple(dict.fromkeys(_notes(snapshot, policy.said)))
    return Verdict(names, tuple(found), notes[:MAX_NOTES])


def _admins(snapshot: Snapshot, said: PolicyText) -> list[int]:
    named = {
        name for group in _ADMIN_GROUPS if group in said.groups for name in said.groups[group].names
    }
    owner = min(snapshot.users, default=0)
    return [n for n, user in sorted(snapshot.users.items()) if n == owner or user.name in named]


def _present(snapshot: Snapshot) -> list[NodeRecord]:
    return [node for n, node in sorted(snapshot.nodes.items()) if n not in snapshot.expired]


def _gateways(
    snapshot: Snapshot, coordinator: Iterable[IPAddress]
) -> Iterator[tuple[NodeRecord, str]]:
    own = coordinator_node(snapshot, coordinator)
    for node in _present(snapshot):
        roles = ["coordinator"] if node is own else []
        if routes.granted(node) - routes.EXIT_ROUTES:
            roles.append("subnet router")
        if routes.exit_routes(node):
            roles.append("exit node")
        if roles:
            yield node, " and ".join(roles)


def coordinator_node(snapshot: Snapshot, coordinator: Iterable[IPAddress]) -> NodeRecord | None:
    """Return the node that runs on the coordinator's machine.

    It has one of the addresses that nodes dial; behind a NAT several do, and then none is it.
    """
    dialled = {str(address) for address in coordinator}
    found = [
        node
        for node in _present(snapshot)
        if dialled & ({str(a) for a in node.addresses} | {_host(e) for e in node.endpoints})
    ]
    return found[0] if len(found) == 1 else None


def _host(endpoint: str) -> str:
    return endpoint.rpartition(":")[0].strip("[]")


def _access(reach: Reach, node: NodeRecord, role: str, devices: list[NodeRecord]) -> GatewayAccess:
    others = tuple(device for device in devices if device is not node)
    by = tuple(device for device in others if reach.may_open(device.id, node.id))
    return GatewayAccess(node, role, others, by)


def _notes(snapshot: Snapshot, said: PolicyText) -> Iterator[str]:
    """Look for names that mean nobody."""
    known = {user.name for user in snapshot.users.values()}
    index = NodeIndex(snapshot)
    for name, group in said.groups.items():
        for person in sorted(group.names - known):
            yield f"{shown(name)} has {shown(person)}, who is not a user of this mesh."
    for rule in said.rules or ():
        for selector in (*rule.sources, *(target.selector for target in rule.targets)):
            if isinstance(selector, People) and len(selector.names) == 1:
                for person in sorted(selector.names - known):
                    yield f"{shown(person)} is not a user of this mesh."
        for target in rule.targets:
            if isinstance(target.selector, Network) and not index.nodes(target.selector):
                yield (
                    f"Nothing is at {target.selector.prefix}: no node has this address, and no "
                    "approved route leads there."
                )
            elif target.selector is Auto.INTERNET and not index.exits:
                yield "autogroup:internet is nowhere: no exit node is approved."
