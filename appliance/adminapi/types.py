"""What travels over the admin API, as JSON."""

from datetime import datetime
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every message: immutable."""


class Request(Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every request body: a misspelt field is an error, not silence."""


class Failure(Message, frozen=True, kw_only=True):
    """Why a call did not succeed: a code for programs, a sentence for people."""

    code: str
    message: str


class UserInfo(Message, frozen=True, kw_only=True):
    """A person who owns nodes."""

    id: int
    name: str
    display_name: str
    created: datetime
    nodes: int
    """How many nodes are theirs."""


class PreAuthKeyInfo(Message, frozen=True, kw_only=True):
    """A pre-auth key; its secret is shown once, when it is made."""

    id: str
    user: str
    created: datetime
    expires: datetime | None
    reusable: bool
    ephemeral: bool
    tags: tuple[str, ...]
    used: datetime | None
    revoked: bool
    usable: bool
    """Whether it would admit a node now."""
    key: str = ""
    """The text to log in with; only in the answer that made it."""

    def __repr__(self) -> str:
        return f"<PreAuthKeyInfo {self.id}>"


class RouteInfo(Message, frozen=True, kw_only=True):
    """One route of one node."""

    node_id: int
    node: str
    prefix: str
    advertised: bool
    approved: bool
    primary: bool
    """Whether this node is the one of its routers that peers are told of; exit routes have none."""
    serving: bool = False
    """Whether peers can use it through this node now: it is allowed to, chosen, and online."""


class NodeInfo(Message, frozen=True, kw_only=True):
    """One node."""

    id: int
    name: str
    fqdn: str
    user: str
    tags: tuple[str, ...]
    addresses: tuple[str, ...]
    online: bool
    last_seen: datetime | None
    created: datetime
    key_expiry: datetime | None
    expired: bool
    ephemeral: bool
    hostname: str
    os: str
    client_version: str
    cap_version: int
    node_key: str
    machine_key: str
    endpoints: tuple[str, ...]
    home_relay: int
    routes: tuple[RouteInfo, ...]
    published: tuple[str, ...]


class PendingInfo(Message, frozen=True, kw_only=True):
    """A device that waits for an admin's word."""

    id: str
    hostname: str
    os: str
    client_version: str
    machine_key: str
    waiting_s: int


class UserList(Message, frozen=True, kw_only=True):
    """All users."""

    users: tuple[UserInfo, ...]


class PreAuthKeyList(Message, frozen=True, kw_only=True):
    """All pre-auth keys."""

    keys: tuple[PreAuthKeyInfo, ...]


class NodeList(Message, frozen=True, kw_only=True):
    """All nodes."""

    nodes: tuple[NodeInfo, ...]


class PendingList(Message, frozen=True, kw_only=True):
    """All devices that wait."""

    pending: tuple[PendingInfo, ...]


class RouteList(Message, frozen=True, kw_only=True):
    """Routes of all nodes, or of one."""

    routes: tuple[RouteInfo, ...]
    notes: tuple[str, ...] = ()
    """Where routers stand by for each other, or their routes overlap."""


class Done(Message, frozen=True, kw_only=True):
    """It is done, and there is nothing to show."""


class CreateUser(Request, frozen=True, kw_only=True):
    """Make a user."""

    name: str
    display_name: str = ""


class RenameUser(Request, frozen=True, kw_only=True):
    """Give a user another name."""

    name: str


class CreatePreAuthKey(Request, frozen=True, kw_only=True):
    """Make a pre-auth key."""

    user: str
    reusable: bool = False
    ephemeral: bool = False
    tags: tuple[str, ...] = ()
    lifetime_s: int = 3600
    """0: it never expires."""


class ApproveNode(Request, frozen=True, kw_only=True):
    """Admit a device that waits: for a user, or in the name of tags."""

    user: str = ""
    tags: tuple[str, ...] = ()


class EditNode(Request, frozen=True, kw_only=True):
    """Change a node; what is absent stays."""

    name: str | None = None
    """Empty: follow the device's host name again."""
    tags: tuple[str, ...] | None = None


class ExpireNode(Request, frozen=True, kw_only=True):
    """Say when a node's key ends: now, in some time, or never."""

    in_s: int = 0
    never: bool = False


class Prefixes(Request, frozen=True, kw_only=True):
    """Routes to approve or to revoke; ``exit`` stands for both default routes."""

    prefixes: tuple[str, ...]


class PublishedAddress(Request, frozen=True, kw_only=True):
    """A LAN host behind a router."""

    address: str


class PingNode(Request, frozen=True, kw_only=True):
    """Let a node ping an address of the mesh."""

    address: str
    type: str = "disco"
    timeout_s: float = 12.0


class PingAnswer(Message, frozen=True, kw_only=True):
    """What a node found: a direct ``endpoint``, or the relay's region."""

    node_name: str
    ip: str
    latency_s: float
    endpoint: str
    relay_region: int
    relay_code: str
    error: str


class AskNode(Request, frozen=True, kw_only=True):
    """Let a node serve an HTTP request (c2n)."""

    path: str
    method: str = "GET"
    body: str = ""
    timeout_s: float = 30.0


class NodeReply(Message, frozen=True, kw_only=True):
    """A node's answer to ``AskNode``: JSON where it was JSON, else text."""

    status: int
    body: Any


class ServerStatus(Message, frozen=True, kw_only=True):
    """How the coordinator is doing."""

    version: str
    server_url: str
    base_domain: str
    users: int
    nodes: int
    connected: int
    """Open map streams."""
    pending: int


class PolicyInfo(Message, frozen=True, kw_only=True):
    """The policy in force."""

    source: str
    """``none`` (everything is allowed), ``stored`` (by ``PolicyDraft``) or ``file``."""
    file: str
    """Where the settings name a file."""
    text: str
    since: datetime | None
    """When it was stored."""
    earlier: int
    """How many earlier ones there are to go back to."""


class GatewayAccess(Message, frozen=True, kw_only=True):
    """A subnet router, exit node or the coordinator's own node, and which devices get to it."""

    node: str
    address: str
    role: str
    reachable_by: tuple[str, ...]
    """The admins' other devices that may open TCP connections to it."""
    locked_out: bool


class PolicyReport(Message, frozen=True, kw_only=True):
    """What a policy does to those who run the mesh."""

    admins: tuple[str, ...]
    gateways: tuple[GatewayAccess, ...]
    warnings: tuple[str, ...]
    """Whom it locks out; a policy with warnings takes effect only when it is confirmed."""
    notes: tuple[str, ...]
    """What is probably not meant."""


class PolicyChange(Message, frozen=True, kw_only=True):
    """A policy that is in force now, and what it does."""

    policy: PolicyInfo
    report: PolicyReport


class PolicyDraft(Request, frozen=True, kw_only=True):
    """A policy to try or to put in force."""

    text: str
    confirmed: bool = False
    """Put it in force although it locks an admin out."""


class RevertPolicy(Request, frozen=True, kw_only=True):
    """Go back to the policy before the present one."""

    confirmed: bool = False
