"""Registration: how a node key becomes a node.

Source: tailscale tailcfg/tailcfg.go (RegisterRequest, RegisterResponse), 2026-08.
"""

from datetime import datetime

import msgspec

from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg.codec import Message
from appliance.protocol.tailcfg.hostinfo import Hostinfo
from appliance.protocol.tailcfg.node import ZERO_TIME


class RegisterAuth(Message, frozen=True, kw_only=True):
    """How the node proves that it may join."""

    auth_key: str = ""

    def __repr__(self) -> str:
        return "<RegisterAuth [private]>"


class RegisterRequest(Message, frozen=True, kw_only=True, omit_defaults=False):
    """Asks for a node key to be admitted, renewed or (with an expiry in the past) logged out."""

    version: int = 0
    node_key: NodePublic
    old_node_key: NodePublic = NodePublic(bytes(32))
    nl_key: str | None = msgspec.field(name="NLKey", default=None)
    auth: RegisterAuth | None = None
    expiry: datetime = ZERO_TIME
    followup: str = ""
    hostinfo: Hostinfo | None = None
    ephemeral: bool = False
    tailnet: str = ""


class User(Message, frozen=True, kw_only=True):
    """The owner, in the reply to a registration; ``id`` is positive."""

    id: int = msgspec.field(name="ID", default=0)
    display_name: str = ""
    profile_pic_url: str = msgspec.field(name="ProfilePicURL", default="")
    created: datetime | None = None


class Login(Message, frozen=True, kw_only=True):
    """The owner's login; ``login_name`` is not empty."""

    id: int = msgspec.field(name="ID", default=0)
    provider: str = ""
    login_name: str = ""
    display_name: str = ""
    profile_pic_url: str = msgspec.field(name="ProfilePicURL", default="")


class RegisterResponse(Message, frozen=True, kw_only=True):
    """The verdict: done when there is neither ``auth_url`` nor ``error`` nor an expired key."""

    user: User | None = None
    login: Login | None = None
    node_key_expired: bool = False
    machine_authorized: bool = False
    auth_url: str = msgspec.field(name="AuthURL", default="")
    node_key_signature: str | None = None
    error: str = ""
