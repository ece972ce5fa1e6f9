"""tailcfg: the messages of the control protocol as typed, frozen values.

Attributes have our names; the wire's spellings stand only in the field map of each struct
(``rename="pascal"`` and ``name=``). Unknown fields are ignored, as the protocol asks of both
sides. ``codec`` turns the values into JSON and back.

Source: tailscale tailcfg/tailcfg.go, 2026-08 (capability version 145).
"""

from appliance.protocol.tailcfg.codec import decode, encode
from appliance.protocol.tailcfg.derpmap import DerpMap, DerpNode, DerpRegion, HomeParams
from appliance.protocol.tailcfg.dns import DnsConfig, DnsRecord, Resolver
from appliance.protocol.tailcfg.filter import (
    ANY_PORT,
    CapGrant,
    FilterRule,
    NetPortRange,
    PortRange,
)
from appliance.protocol.tailcfg.hostinfo import Hostinfo, NetInfo, Service
from appliance.protocol.tailcfg.map import (
    Debug,
    EndpointType,
    MapRequest,
    MapResponse,
    PeerChange,
    PingRequest,
    PingResponse,
)
from appliance.protocol.tailcfg.node import ZERO_TIME, Node, UserProfile, is_set
from appliance.protocol.tailcfg.register import (
    Login,
    RegisterAuth,
    RegisterRequest,
    RegisterResponse,
    User,
)

CAPABILITY_VERSION = 131
"""The capability version that our agent claims and our coordinator answers for (1.92)."""

__all__ = [
    "ANY_PORT",
    "CAPABILITY_VERSION",
    "ZERO_TIME",
    "CapGrant",
    "Debug",
    "DerpMap",
    "DerpNode",
    "DerpRegion",
    "DnsConfig",
    "DnsRecord",
    "EndpointType",
    "FilterRule",
    "HomeParams",
    "Hostinfo",
    "Login",
    "MapRequest",
    "MapResponse",
    "NetInfo",
    "NetPortRange",
    "Node",
    "PeerChange",
    "PingRequest",
    "PingResponse",
    "PortRange",
    "RegisterAuth",
    "RegisterRequest",
    "RegisterResponse",
    "Resolver",
    "Service",
    "User",
    "UserProfile",
    "decode",
    "encode",
    "is_set",
]
