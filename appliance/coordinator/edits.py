"""What an admin may change, each as a function from snapshot to snapshot. Pure.

Each function takes what the admin said and returns a mutation: ``(snapshot, now)`` in, the new
snapshot and the record concerned out; a ``RefusedError`` leaves everything as it was.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from appliance.coordinator import routes
from appliance.coordinator.errors import ConflictError, InvalidError, NotFoundError
from appliance.coordinator.model import NodeRecord, PolicyRecord, PreAuthKey, Snapshot, User
from appliance.coordinator.naming import (
    check_label,
    check_tag,
    check_user_name,
    label_from_hostname,
    unique_label,
)
from appliance.protocol.addresses import IPAddress, IPNetwork

T = TypeVar("T")
Mutation = Callable[[Snapshot, datetime], tuple[Snapshot, T]]

MAX_TEXT: Final = 200
MAX_POLICIES: Final = 10
"""As far back as anyone remembers; each may be 1 MiB."""

MAX_LIFETIME_S: Final = 10 * 366 * 86400
"""Ten years; longer means never."""


def find_user(snapshot: Snapshot, ref: str) -> User:
    """Find a user by name or ID."""
    for user in snapshot.users.values():
        if ref in (user.name, str(user.id)):
            return user
    raise NotFoundError(
        f"There is no user {ref[:80]!r}. Make one with `latchkey admin users create`."
    )


def find_node(snapshot: Snapshot, ref: str) -> NodeRecord:
    """Find a node by ID, name, full name or address."""
    label = ref.lower().partition(".")[0]
    by_id = snapshot.nodes.get(int(ref)) if ref.isascii() and ref.isdigit() else None
    if by_id is not None:
        return by_id
    for node in snapshot.nodes.values():
        if label == node.name or ref in (str(node.ipv4), str(node.ipv6)):
            return node
    raise NotFoundError(f"There is no node {ref[:80]!r}. See `latchkey admin nodes list`.")


def create_user(name: str, display_name: str) -> Mutation[User]:
    """Make a user."""

    def mutation(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, User]:
        _check_free(snapshot, check_user_name(name))
        shown = display_name.strip()[:MAX_TEXT] or name
        user = User(snapshot.last_user_id + 1, name, shown, now.replace(microsecond=0))
        return snapshot.with_user(user), user

    return mutation


def rename_user(ref: str, name: str) -> Mutation[User]:
    """Give a user another name; the name shown follows when it was the same."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, User]:
        user = find_user(snapshot, ref)
        if name != user.name:
            _check_free(snapshot, check_user_name(name))
        shown = name if user.display_name == user.name else user.display_name
        renamed = replace(user, name=name, display_name=shown)
        return snapshot.with_user(renamed), renamed

    return mutation


def delete_user(ref: str) -> Mutation[User]:
    """Delete a user who owns no nodes, with their pre-auth keys and no one else's."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, User]:
        user = find_user(snapshot, ref)
        owned = [node.name for node in snapshot.nodes.values() if node.user_id == user.id]
        if owned:
            raise ConflictError(
                f"{user.name} still owns {len(owned)} nodes ({', '.join(owned[:3])}). "
                "Delete or tag them first."
            )
        users = {n: other for n, other in snapshot.users.items() if n != user.id}
        keys = {n: key for n, key in snapshot.keys.items() if key.user_id != user.id}
        return replace(snapshot, users=users, keys=keys), user

    return mutation


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a new pre-auth key may do."""

    user: str
    reusable: bool
    ephemeral: bool
    tags: tuple[str, ...]
    lifetime_s: int
    """0: for ever."""


def create_key(identifier: str, secret_hash: bytes, terms: KeyTerms) -> Mutation[PreAuthKey]:
    """Make a pre-auth key."""

    def mutation(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, PreAuthKey]:
        user = find_user(snapshot, terms.user)
        key = PreAuthKey(
            id=identifier,
            secret_hash=secret_hash,
            user_id=user.id,
            created=now,
            expires=_after(now, terms.lifetime_s) if terms.lifetime_s else None,
            reusable=terms.reusable,
            ephemeral=terms.ephemeral,
            tags=tuple(sorted({check_tag(tag) for tag in terms.tags})),
        )
        return snapshot.with_key(key), key

    return mutation


def revoke_key(ref: str) -> Mutation[PreAuthKey]:
    """Make a key useless; its ID or its whole text names it."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, PreAuthKey]:
        identifier = ref.removeprefix("lkauth-").partition("-")[0]
        key = snapshot.keys.get(identifier)
        if key is None:
            raise NotFoundError(
                f"There is no pre-auth key {identifier[:20]!r}. "
                "See `latchkey admin preauthkeys list`."
            )
        revoked = replace(key, revoked=True)
        return snapshot.with_key(revoked), revoked

    return mutation


def rename_node(node_id: int, name: str) -> Mutation[NodeRecord]:
    """Give a node a name of its own; an empty one follows its host name again."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = snapshot.nodes[node_id]
        others = {n.name: n for n in snapshot.nodes.values() if n.id != node_id}
        if not name:
            label = unique_label(label_from_hostname(node.hostinfo.hostname), others)
            return _with(snapshot, replace(node, name=label, name_fixed=False))
        label = check_label(name)
        if label in others:
            raise ConflictError(f"Node {others[label].id} is already called {label!r}.")
        return _with(snapshot, replace(node, name=label, name_fixed=True))

    return mutation


def tag_node(node_id: int, tags: tuple[str, ...]) -> Mutation[NodeRecord]:
    """Let tags own a node, in place of its user; there is no way back but a new login."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = snapshot.nodes[node_id]
        if not tags:
            raise InvalidError("A node needs at least one tag here: name it like tag:server.")
        checked = tuple(sorted({check_tag(tag) for tag in tags}))
        # Tagged nodes never expire, but one that has expired must still log in again.
        expiry = node.key_expiry if node.id in snapshot.expired else None
        return _with(snapshot, replace(node, user_id=None, tags=checked, key_expiry=expiry))

    return mutation


def expire_node(ref: str, in_s: int | None) -> Mutation[NodeRecord]:
    """End a node's key now or later; ``None`` means never."""

    def mutation(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        expiry = None if in_s is None else _after(now, in_s)
        return _with(snapshot, replace(node, key_expiry=expiry))

    return mutation


def delete_node(ref: str) -> Mutation[NodeRecord]:
    """Delete a node."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        return snapshot.without_nodes([node.id]), node

    return mutation


def approve_routes(ref: str, prefixes: frozenset[IPNetwork]) -> Mutation[NodeRecord]:
    """Let a node carry routes, beside those it may carry already."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        return _with(snapshot, replace(node, approved_routes=node.approved_routes | prefixes))

    return mutation


def revoke_routes(ref: str, prefixes: frozenset[IPNetwork]) -> Mutation[NodeRecord]:
    """No longer let a node carry routes, nor show hosts behind them."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        missing = prefixes - node.approved_routes
        if missing == prefixes:
            shown = ", ".join(str(prefix) for prefix in routes.in_order(missing))
            raise NotFoundError(f"{node.name} has no approval for {shown}.")
        left = replace(node, approved_routes=node.approved_routes - prefixes)
        kept = frozenset(a for a in left.published if routes.publishable(left, a))
        return _with(snapshot, replace(left, published=kept))

    return mutation


def publish(ref: str, address: IPAddress) -> Mutation[NodeRecord]:
    """Show a LAN host among its router's addresses; only inside an approved route."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        if not routes.publishable(node, address):
            raise InvalidError(
                f"{address} is not inside a subnet route that is approved for {node.name}. "
                f"Approve one first: `latchkey admin routes approve {node.name} PREFIX`."
            )
        return _with(snapshot, replace(node, published=node.published | {address}))

    return mutation


def unpublish(ref: str, address: IPAddress) -> Mutation[NodeRecord]:
    """No longer show a LAN host."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, NodeRecord]:
        node = find_node(snapshot, ref)
        if address not in node.published:
            raise NotFoundError(f"{address} is not published by {node.name}.")
        return _with(snapshot, replace(node, published=node.published - {address}))

    return mutation


def put_policy(text: str) -> Mutation[PolicyRecord]:
    """Make a policy the newest; what was in force before the first one was: no policy."""

    def mutation(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, PolicyRecord]:
        moment = now.replace(microsecond=0)
        known = dict(snapshot.policies) or {1: PolicyRecord(1, "", moment)}
        record = PolicyRecord(max(known) + 1, text, moment)
        kept = sorted(known)[-(MAX_POLICIES - 1) :]
        policies = {n: known[n] for n in kept} | {record.id: record}
        return replace(snapshot, policies=policies), record

    return mutation


def drop_policy() -> Mutation[PolicyRecord]:
    """Go back to the policy before the newest one, and forget that."""

    def mutation(snapshot: Snapshot, _now: datetime) -> tuple[Snapshot, PolicyRecord]:
        previous = earlier_policy(snapshot)
        policies = {n: known for n, known in snapshot.policies.items() if n <= previous.id}
        return replace(snapshot, policies=policies), previous

    return mutation


def earlier_policy(snapshot: Snapshot) -> PolicyRecord:
    """Return the policy before the newest one."""
    known = sorted(snapshot.policies)
    if len(known) < 2:
        raise NotFoundError("There is no earlier policy to go back to.")
    return snapshot.policies[known[-2]]


def _with(snapshot: Snapshot, node: NodeRecord) -> tuple[Snapshot, NodeRecord]:
    return snapshot.with_nodes([node]), node


def _check_free(snapshot: Snapshot, name: str) -> None:
    if any(user.name == name for user in snapshot.users.values()):
        raise ConflictError(f"There is a user {name!r} already.")


def _after(now: datetime, seconds: int) -> datetime:
    if not 0 <= seconds <= MAX_LIFETIME_S:
        raise InvalidError("A time must be between now and ten years from now.")
    return (now + timedelta(seconds=seconds)).replace(microsecond=0)
