"""The relay map: which DERP regions exist and how to reach them.

Source: tailscale tailcfg/derpmap.go, 2026-08.
"""

import msgspec

from appliance.protocol.tailcfg.codec import Message


class DerpNode(Message, frozen=True, kw_only=True):
    """One relay server of a region."""

    name: str = ""
    region_id: int = msgspec.field(name="RegionID", default=0)
    host_name: str = ""
    cert_name: str = ""
    """Empty: verify ``host_name``; a name: verify that; ``sha256-raw:<hex>``: pin the leaf."""
    ipv4: str = msgspec.field(name="IPv4", default="")
    """Empty: ask DNS; an address: use it; anything else: the family is off."""
    ipv6: str = msgspec.field(name="IPv6", default="")
    stun_port: int = msgspec.field(name="STUNPort", default=0)
    """0: 3478; -1: none."""
    stun_only: bool = msgspec.field(name="STUNOnly", default=False)
    derp_port: int = msgspec.field(name="DERPPort", default=0)
    """0: 443."""
    insecure_for_tests: bool = False
    can_port_80: bool = msgspec.field(name="CanPort80", default=False)


class DerpRegion(Message, frozen=True, kw_only=True):
    """A group of relay servers that know each other's clients."""

    region_id: int = msgspec.field(name="RegionID", default=0)
    region_code: str = ""
    region_name: str = ""
    avoid: bool = False
    no_measure_no_home: bool = False
    nodes: tuple[DerpNode, ...] | None = None


class HomeParams(Message, frozen=True, kw_only=True):
    """How to weigh regions when choosing a home relay."""

    region_score: dict[int, float] | None = None


class DerpMap(Message, frozen=True, kw_only=True):
    """All regions, by number."""

    home_params: HomeParams | None = None
    regions: dict[int, DerpRegion | None] | None = None
    omit_default_regions: bool = msgspec.field(name="omitDefaultRegions", default=False)
