"""GatewayConfig to nftables text: one table, replaced as a whole.

Packets from the tunnel are dropped unless their destination is ours to give (own addresses,
advertised subnets, the internet for an exit node) and the coordinator's filter, or a connection
that it let in before, allows them. Into the tunnel go the machine's own packets and answers; other
hosts never enter the mesh through this machine. Nobody outside the tunnel can pretend to be in it.

Only what this table drops is dropped for certain: a packet that it accepts must still pass the
tables of others. Accepted by nft 1.0.6 (Debian 12) and 1.1.3 (Debian 13).
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import (
    ALL_PORTS,
    ICMP,
    ICMPV6,
    PORT_PROTOCOLS,
    Allow,
    Ports,
)
from appliance.gateway.ranges import Ranges
from appliance.protocol.addresses import IPNetwork

TABLE: Final = "latchkey"

MESH_RANGES: Final = (
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fd7a:115c:a1e0::/48"),
)
"""Where the addresses of nodes come from."""

SUBNET_MARK: Final = 0x40000
"""Marks forwarded packets whose source address is to be replaced; the reference's number."""
MARK_MASK: Final = 0xFF0000
_KEEP_MASK: Final = 0xFFFFFFFF ^ MARK_MASK

TSMP: Final = 99
"""The protocol number of messages between nodes inside the tunnel."""

_NOT_INTERNET_V4: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    )
)
_INTERNET_V6: Final = (ipaddress.ip_network("2000::/3"), ipaddress.ip_network("64:ff9b::/96"))
"""Global unicast, and the prefix by which IPv6-only networks reach IPv4 (RFC 6052)."""

_INTERFACE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")

_ADDRESS: Final = {4: "ip", 6: "ip6"}
_SET_TYPE: Final = {4: "ipv4_addr", 6: "ipv6_addr"}
_ICMP_OF: Final = {4: ICMP, 6: ICMPV6}


def render_ruleset(config: GatewayConfig, allows: tuple[Allow, ...]) -> str:
    """Write what replaces our table in one step, whether it exists or not.

    ``allows`` is the config's filter, parsed; without a filter it counts for nothing.
    """
    if not _INTERFACE_NAME.fullmatch(config.interface):
        raise GatewayError(
            f"{config.interface[:20]!r} cannot be an interface name; "
            "use up to 15 letters, digits, dots and dashes."
        )
    lines = [render_removal().rstrip(), f"table inet {TABLE} {{"]
    for block in (*_sets(config), *_chains(config, allows)):
        lines += [f"\t{line}" for line in block]
    return "\n".join([*lines, "}"]) + "\n"


def render_removal() -> str:
    """Write what removes our table, whether it exists or not."""
    return f"table inet {TABLE}\ndelete table inet {TABLE}\n"


def internet(local_networks: Iterable[IPNetwork], version: int) -> Ranges:
    """Return what an exit node gives access to: the internet without our own networks."""
    local = ranges.of_networks(local_networks, version)
    if version == 4:
        reserved = ranges.of_networks(_NOT_INTERNET_V4, 4)
        return ranges.without(ranges.without(ranges.everything(4), reserved), local)
    return ranges.without(ranges.of_networks(_INTERNET_V6, 6), local)


def _sets(config: GatewayConfig) -> Iterator[list[str]]:
    own: list[IPNetwork] = [ipaddress.ip_network(address.ip) for address in config.addresses]
    for version in (4, 6):
        yield _set(f"own{version}", version, ranges.of_networks(own, version))
        advertised = ranges.of_networks(config.advertised, version)
        yield _set(f"advertised{version}", version, advertised)
        if config.serve_exit:
            yield _set(f"internet{version}", version, internet(config.local_networks, version))


def _set(name: str, version: int, elements: Ranges) -> list[str]:
    body = [f"\ttype {_SET_TYPE[version]}; flags interval;"]
    if elements:
        body.append(f"\telements = {{ {ranges.render(elements, version)} }}")
    return [f"set {name} {{", *body, "}"]


def _chains(config: GatewayConfig, allows: tuple[Allow, ...]) -> Iterator[list[str]]:
    yield _chain("prerouting", _prerouting(config), "filter hook prerouting priority mangle")
    yield _chain("mark_output", _mark_output(config), "route hook output priority mangle")
    if config.filter is None:
        yield from _closed_chains(config)
        return
    for number, allow in enumerate(allows):
        yield _chain(f"allow{number}", _allow(allow))
    yield _chain("admit", _admit(allows))
    yield _chain("from_mesh_to_us", _from_mesh_to_us())
    yield _chain("from_mesh_on", _from_mesh_on(config))
    yield _chain(
        "input",
        [f'iifname "{config.interface}" goto from_mesh_to_us'],
        "filter hook input priority filter",
    )
    yield _chain("forward", _forward(config), "filter hook forward priority filter")
    yield _chain("output", _output(config), "filter hook output priority filter")
    yield _chain("postrouting", _postrouting(), "nat hook postrouting priority srcnat")


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    head = [f"\ttype {hook}; policy accept;"] if hook else []
    return [f"chain {name} {{", *head, *(f"\t{rule}" for rule in rules), "}"]


def _closed_chains(config: GatewayConfig) -> Iterator[list[str]]:
    tunnel = config.interface
    into, out_of = f'iifname "{tunnel}" drop', f'oifname "{tunnel}" drop'
    yield _chain("input", [into], "filter hook input priority filter")
    yield _chain("forward", [into, out_of], "filter hook forward priority filter")


def _set_mark(mark: int) -> str:
    return f"meta mark set meta mark and {_KEEP_MASK:#010x} or {mark:#x}"


def _prerouting(config: GatewayConfig) -> Iterator[str]:
    """Mark what belongs to marked sockets, so that reverse-path checks pass; stop pretenders."""
    mark = _set_mark(config.fwmark)
    yield f'iifname {{ "lo", "{config.interface}" }} accept'
    yield f"udp dport {config.listen_port} {mark} accept"
    if config.use_exit:
        yield f"icmpv6 type packet-too-big {mark}"
    yield f"ct mark and {MARK_MASK:#x} == {config.fwmark:#x} {mark}"
    for network in MESH_RANGES:
        family = _ADDRESS[network.version]
        # A provider may use the same range for its customers: those stay our neighbours.
        mesh = ranges.of_networks([network], network.version)
        pretended = ranges.without(mesh, ranges.of_networks(config.local_networks, network.version))
        if pretended:
            yield f"{family} saddr {{ {ranges.render(pretended, network.version)} }} drop"
        yield f"{family} daddr @own{network.version} drop"


def _mark_output(config: GatewayConfig) -> Iterator[str]:
    """Remember in the connection that its packets are marked."""
    yield (
        f"ct state new meta mark and {MARK_MASK:#x} == {config.fwmark:#x} "
        f"ct mark set ct mark and {_KEEP_MASK:#010x} or {config.fwmark:#x}"
    )


def _from_mesh_to_us() -> Iterator[str]:
    for version, family in _ADDRESS.items():
        yield f"{family} daddr @own{version} meta l4proto {TSMP} accept"
        yield f"{family} daddr @own{version} goto admit"
        yield f"{family} daddr @advertised{version} goto admit"
    yield "counter drop"


def _from_mesh_on(config: GatewayConfig) -> Iterator[str]:
    yield f'oifname "{config.interface}" drop'
    snat = f"{_set_mark(SUBNET_MARK)} "
    for version, family in _ADDRESS.items():
        yield f"{family} daddr @advertised{version} {snat if config.snat else ''}goto admit"
        if config.serve_exit:
            yield f"{family} daddr @internet{version} {snat}goto admit"
    yield "counter drop"


def _forward(config: GatewayConfig) -> Iterator[str]:
    tunnel = config.interface
    for direction in ("iifname", "oifname"):
        yield (
            f'{direction} "{tunnel}" tcp flags and (syn | rst) == syn '
            "tcp option maxseg size set rt mtu"
        )
    yield f'iifname "{tunnel}" goto from_mesh_on'
    yield f'oifname "{tunnel}" ct state established,related accept'
    yield f'oifname "{tunnel}" counter drop'


def _output(config: GatewayConfig) -> Iterator[str]:
    """Keep the machine's own discovery chatter out of the mesh."""
    yield f'oifname != "{config.interface}" accept'
    yield "ip daddr { 224.0.0.0/4, 169.254.0.0/16 } drop"
    yield "ip6 daddr { ff00::/8, fe80::/10 } drop"


def _postrouting() -> Iterator[str]:
    yield f"meta mark and {MARK_MASK:#x} == {SUBNET_MARK:#x} masquerade"


def _admit(allows: tuple[Allow, ...]) -> Iterator[str]:
    """Let in what the filter allows; answers need no rule."""
    yield "ct state vmap { established : accept, related : accept, invalid : drop }"
    yield "icmp type redirect drop"
    yield "icmpv6 type { nd-router-advert, nd-redirect } drop"
    for number, allow in enumerate(allows):
        yield f"{_match(allow.version, 'saddr', allow.sources)}jump allow{number}"
    yield "counter drop"


def _allow(allow: Allow) -> Iterator[str]:
    """Match the destinations of one rule; ICMP goes wherever any port is open."""
    version = allow.version
    anywhere = ranges.merged(r for parsed in allow.destinations.values() for r in parsed)
    match = _match(version, "daddr", anywhere)
    yield f"{match}meta l4proto {_ICMP_OF[version]} accept"
    with_ports = _protocols(allow.protocols & PORT_PROTOCOLS)
    others = _protocols(allow.protocols - PORT_PROTOCOLS - {ICMP, ICMPV6})
    for ports, destinations in sorted(allow.destinations.items()):
        match = _match(version, "daddr", destinations)
        if with_ports:
            yield f"{match}meta l4proto {{ {with_ports} }}{_port_match(ports)} accept"
        if others and ports == ALL_PORTS:
            yield f"{match}meta l4proto {{ {others} }} accept"


def _match(version: int, side: str, addresses: Ranges) -> str:
    if addresses == ranges.everything(version):
        return f"meta nfproto ipv{version} "
    return f"{_ADDRESS[version]} {side} {{ {ranges.render(addresses, version)} }} "


def _protocols(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))


def _port_match(ports: Ports) -> str:
    if ports == ALL_PORTS:
        return ""
    first, last = ports
    return f" th dport {first}" if first == last else f" th dport {first}-{last}"
