"""A device that is being added: the key made for it, who waits, and who has joined."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from appliance.adminapi.client import AdminClient
from appliance.adminapi.types import CreatePreAuthKey, CreateUser, NodeInfo, PreAuthKeyInfo
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import Status
from webui.members import Member, member_of, path_of
from webui.overview import Registry
from webui.units import now_utc

KEY_LIFETIME_S: Final = 3600
OWNER: Final = "owner"
"""Whose the devices are, where nobody has made a user yet."""
PING_S: Final = 2.0
SAME_MOMENT: Final = timedelta(seconds=5)
"""A key is used at the moment when its node is made."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A device that has just come in."""

    node: NodeInfo
    member: Member | None
    """As the box sees it; None until its netmap has it."""


def owner_of(admin: AdminClient) -> str:
    """Return whose new devices are: the first user's, who is made if there is none."""
    users = sorted(admin.users().users, key=lambda user: user.id)
    return users[0].name if users else admin.create_user(CreateUser(name=OWNER)).name


def make_key(admin: AdminClient) -> PreAuthKeyInfo:
    """Make a key for one device, good for an hour; its text is in this answer only."""
    request = CreatePreAuthKey(user=owner_of(admin), lifetime_s=KEY_LIFETIME_S)
    return admin.create_preauth_key(request)


def use_of(key_id: str, admin: AdminClient, registry: Registry) -> tuple[bool, NodeInfo | None]:
    """Say whether a key has been used, and by which node if that is a new one."""
    key = next((key for key in admin.preauth_keys().keys if key.id == key_id), None)
    if key is None or key.used is None:
        return False, None
    used = key.used
    fresh = [node for node in registry.nodes if abs(node.created - used) <= SAME_MOMENT]
    return True, min(fresh, key=lambda node: abs(node.created - used), default=None)


def describe(node: NodeInfo, status: Status) -> Joined:
    """Put together what coordinator and agent know of a node."""
    peer = status.peers.get(node.node_key)
    return Joined(node, None if peer is None else member_of(peer, now_utc()))


def stir(joined: Joined, local: LocalClient, status: Status) -> None:
    """Send a node that is online one ping, so that the best path is found; it may take 2 s."""
    peer = status.peers.get(joined.node.node_key)
    if peer is None or path_of(peer) not in ("idle", "relayed") or not peer.tailscale_ips:
        return
    try:
        local.ping(peer.tailscale_ips[0], PING_S)
    except LocalApiError:
        return  # it may just have left again; the next look says so
