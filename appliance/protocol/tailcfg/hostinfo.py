"""What a node says about itself.

Source: tailscale tailcfg/tailcfg.go (Hostinfo, NetInfo), 2026-08.
"""

from typing import Any

import msgspec

from appliance.protocol.tailcfg.codec import Message, Network


class Service(Message, frozen=True, kw_only=True):
    """A service that the node runs; ``peerapi4`` and ``peerapi6`` are the ones peers use."""

    proto: str = ""
    port: int = 0
    description: str = ""


class NetInfo(Message, frozen=True, kw_only=True):
    """What the node found out about its network; ``None`` is unknown."""

    mapping_varies_by_dest_ip: bool | None = msgspec.field(
        name="MappingVariesByDestIP", default=None
    )
    working_ipv6: bool | None = msgspec.field(name="WorkingIPv6", default=None)
    os_has_ipv6: bool | None = msgspec.field(name="OSHasIPv6", default=None)
    working_udp: bool | None = msgspec.field(name="WorkingUDP", default=None)
    working_icmpv4: bool | None = msgspec.field(name="WorkingICMPv4", default=None)
    have_port_map: bool = False
    upnp: bool | None = msgspec.field(name="UPnP", default=None)
    pmp: bool | None = msgspec.field(name="PMP", default=None)
    pcp: bool | None = msgspec.field(name="PCP", default=None)
    preferred_derp: int = msgspec.field(name="PreferredDERP", default=0)
    link_type: str = ""
    derp_latency: dict[str, float] | None = msgspec.field(name="DERPLatency", default=None)
    """``<region>-v4`` or ``<region>-v6`` to seconds."""
    firewall_mode: str = ""


class Hostinfo(Message, frozen=True, kw_only=True):
    """The node's description; a new one replaces the old one as a whole."""

    ipn_version: str = msgspec.field(name="IPNVersion", default="")
    frontend_log_id: str = msgspec.field(name="FrontendLogID", default="")
    backend_log_id: str = msgspec.field(name="BackendLogID", default="")
    os: str = msgspec.field(name="OS", default="")
    os_version: str = msgspec.field(name="OSVersion", default="")
    container: bool | None = None
    env: str = ""
    distro: str = ""
    distro_version: str = ""
    distro_code_name: str = ""
    app: str = ""
    desktop: bool | None = None
    package: str = ""
    device_model: str = ""
    hostname: str = ""
    shields_up: bool = False
    sharee_node: bool = False
    no_logs_no_support: bool = False
    wire_ingress: bool = False
    ingress_enabled: bool = False
    allows_update: bool = False
    machine: str = ""
    go_arch: str = ""
    go_arch_var: str = ""
    go_version: str = ""
    routable_ips: tuple[Network, ...] | None = msgspec.field(name="RoutableIPs", default=None)
    request_tags: tuple[str, ...] | None = None
    services: tuple[Service, ...] | None = None
    net_info: NetInfo | None = None
    ssh_host_keys: tuple[str, ...] | None = msgspec.field(name="sshHostKeys", default=None)
    cloud: str = ""
    userspace: bool | None = None
    userspace_router: bool | None = None
    app_connector: bool | None = None
    services_hash: str = ""
    exit_node_id: str = msgspec.field(name="ExitNodeID", default="")
    peer_relay: bool = False
    location: Any = None
    state_encrypted: bool | None = None
