"""What becomes of a registration. Pure.

``judge`` looks at the request and says what it is; the other functions carry it out on a snapshot.
Identity is the machine key of the Noise connection and nothing in the request.

Source: tailscale control/controlclient/direct.go (doLogin), 2026-08.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from appliance.coordinator.auth import preauth
from appliance.coordinator.errors import RefusedError
from appliance.coordinator.hostinfo import clip_hostinfo
from appliance.coordinator.ipam import Pool, next_offset
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.naming import label_from_hostname, unique_label
from appliance.protocol.keys import MachinePublic, NodePublic
from appliance.protocol.tailcfg import Hostinfo, RegisterRequest, is_set

MIN_CAP_VERSION: Final = 68
"""From 1.48 on, lite updates carry every change and streams are read-only."""


class Intent(Enum):
    """What a registration asks for, given what is known."""

    LOGOUT = auto()
    """An expiry in the past: give the key up."""
    REFRESH = auto()
    """A key that is admitted already: say yes, whatever else the request carries."""
    RENEW = auto()
    """A key that is known but has expired: ask for a new one."""
    ADMIT = auto()
    """A new key with a pre-auth key."""
    ASK = auto()
    """A new key without one: an admin decides."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings say about new nodes."""

    pool: Pool
    key_lifetime: timedelta | None = None
    """``None``: keys do not expire."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A node key and the machine behind it, as they ask to be admitted."""

    machine_key: MachinePublic
    node_key: NodePublic
    hostinfo: Hostinfo
    cap_version: int
    ephemeral: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """In whose name an applicant is admitted."""

    user_id: int | None
    """``None``: in the name of the tags."""
    tags: tuple[str, ...] = ()
    ephemeral: bool = False
    preauth_key_id: str = ""


def judge(
    snapshot: Snapshot, machine_key: MachinePublic, request: RegisterRequest, now: datetime
) -> Intent:
    """Say what a request asks for; refuse keys that cannot be this machine's."""
    if request.node_key.is_zero:
        raise RefusedError("The registration carries no node key. Update the client.")
    known = snapshot.node_by_key(request.node_key)
    if known is not None and known.machine_key != machine_key:
        raise RefusedError(
            "This node key belongs to another machine. Log out on this device and log in again, "
            "so that it makes a key of its own."
        )
    if is_set(request.expiry) and request.expiry <= now:
        return Intent.LOGOUT
    if known is not None:
        return Intent.RENEW if known.expires_by(now) else Intent.REFRESH
    has_key = request.auth is not None and request.auth.auth_key != ""
    return Intent.ADMIT if has_key else Intent.ASK


def log_out(snapshot: Snapshot, node_key: NodePublic, now: datetime) -> Snapshot:
    """Expire the node's key; an ephemeral node goes altogether."""
    node = snapshot.node_by_key(node_key)
    if node is None:
        return snapshot
    if node.ephemeral:
        return snapshot.without_nodes([node.id])
    if node.expires_by(now):
        return snapshot
    return snapshot.with_nodes([replace(node, key_expiry=now)])


def refresh(snapshot: Snapshot, request: RegisterRequest) -> Snapshot:
    """Take a known node's new description; a future expiry may only shorten its key's life."""
    node = snapshot.node_by_key(request.node_key)
    if node is None:
        return snapshot
    fresh = node
    if is_set(request.expiry) and (node.key_expiry is None or request.expiry < node.key_expiry):
        fresh = replace(fresh, key_expiry=request.expiry)
    if request.version and request.version != node.cap_version:
        fresh = replace(fresh, cap_version=request.version)
    return snapshot if fresh is node else snapshot.with_nodes([fresh])


def admit_with_key(
    snapshot: Snapshot, applicant: Applicant, auth_key: str, terms: Terms, now: datetime
) -> tuple[Snapshot, NodeRecord]:
    """Admit an applicant who shows a pre-auth key, and spend the key."""
    key = preauth.check_key(snapshot.keys, auth_key, now)
    grant = Grant(
        user_id=None if key.tags else key.user_id,
        tags=key.tags,
        ephemeral=key.ephemeral or applicant.ephemeral,
        preauth_key_id=key.id,
    )
    return admit(snapshot.with_key(preauth.spend(key, now)), applicant, grant, terms, now)


def admit(
    snapshot: Snapshot, applicant: Applicant, grant: Grant, terms: Terms, now: datetime
) -> tuple[Snapshot, NodeRecord]:
    """Admit an applicant: the same machine of the same owner keeps its node, with a new key."""
    taken = snapshot.node_by_key(applicant.node_key)
    if taken is not None and taken.machine_key != applicant.machine_key:
        raise RefusedError("This node key belongs to another machine.")
    mine = snapshot.nodes_of_machine(applicant.machine_key)
    same = next((node for node in mine if node.user_id == grant.user_id), None)
    lifetime = None if grant.tags else terms.key_lifetime
    expiry = None if lifetime is None else now + lifetime
    if same is None:
        snapshot, node = _new_node(snapshot, applicant, grant, terms, now)
    else:
        node = same
    node = replace(
        node,
        node_key=applicant.node_key,
        key_expiry=expiry,
        tags=grant.tags,
        ephemeral=grant.ephemeral,
        preauth_key_id=grant.preauth_key_id,
        cap_version=applicant.cap_version or node.cap_version,
    )
    return snapshot.with_nodes([node]), node


def _new_node(
    snapshot: Snapshot, applicant: Applicant, grant: Grant, terms: Terms, now: datetime
) -> tuple[Snapshot, NodeRecord]:
    taken = frozenset(node.ipv4 for node in snapshot.nodes.values())
    offset = next_offset(terms.pool, snapshot.last_address, taken)
    ipv4, ipv6 = terms.pool.pair(offset)
    label = label_from_hostname(applicant.hostinfo.hostname)
    names = frozenset(node.name for node in snapshot.nodes.values())
    node = NodeRecord(
        id=snapshot.last_node_id + 1,
        machine_key=applicant.machine_key,
        node_key=applicant.node_key,
        user_id=grant.user_id,
        name=unique_label(label, names),
        ipv4=ipv4,
        ipv6=ipv6,
        created=now.replace(microsecond=0),
        hostinfo=clip_hostinfo(applicant.hostinfo),
        last_seen=now,
    )
    return replace(snapshot, last_node_id=node.id, last_address=offset), node
