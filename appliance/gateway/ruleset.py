"""GatewayConfig to nftables text: one table, replaced as a whole.

Packets from the tunnel are dropped unless their destination is ours to give (own addresses,
advertised subnets, the internet for an exit node) and the coordinator's filter, or a connection
that it let in before, allows them. Into the tunnel go the machine's own packets, answers, and what
hosts of ``entering`` networks open; nobody else enters the mesh through this machine, and nobody
outside the tunnel can pretend to be in it.

A chain is there only when it has something to do, and the most frequent packets are decided first
by plain comparisons: every packet of the host goes through these hooks.

Only what this table drops is dropped for certain: a packet that it accepts must still pass the
tables of others. Ours stand before them, and what they should let pass carries ADMITTED_MARK or
SUBNET_MARK. Accepted by nft 1.0.6 (Debian 12) and 1.1.3 (Debian 13).
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.admission import ADDRESS, match, render_admission, render_sets
from appliance.gateway.classes import Classes, classify
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import TCP, UDP, Allow
from appliance.gateway.generations import Block, Generation
from appliance.gateway.holdback import hold_back
from appliance.gateway.ranges import Ranges
from appliance.protocol.addresses import IPNetwork

TABLE: Final = "latchkey"

MESH_RANGES: Final = (
    ipaddress.ip_network("100.64.0.0/10"),
    ipaddress.ip_network("fd7a:115c:a1e0::/48"),
)
"""Where the addresses of nodes come from."""

ADMITTED_MARK: Final = 0x20000
"""Marks packets that others' tables should let pass."""
SUBNET_MARK: Final = 0x40000
"""The same, and the source address is to be replaced; the reference's number for it."""
MARK_MASK: Final = 0xFF0000
_KEEP_MASK: Final = 0xFFFFFFFF ^ MARK_MASK

CT_THROUGH: Final = 0x20000
"""Marks connections that a peer opened through us."""
CT_TO_US: Final = 0x40000
"""Marks connections that a peer opened to this machine."""
CT_ENTERED: Final = 0x60000
"""Marks connections that a host of an ``entering`` network opened into the mesh."""
CT_CUT: Final = 0x10000
"""Added to one of these: the filter allowed it once and does not any more."""

_FWMARK_BIT: Final = 0x80000
_IS_CUT: Final = f"ct mark and {CT_CUT | _FWMARK_BIT:#x} == {CT_CUT:#x}"
_IS_NOT_CUT: Final = f"ct mark and {CT_CUT | _FWMARK_BIT:#x} != {CT_CUT:#x}"
IS_FORWARDED: Final = f"ct mark and {MARK_MASK ^ (CT_THROUGH ^ CT_ENTERED):#x} == {CT_THROUGH:#x}"
"""CT_THROUGH or CT_ENTERED, not cut."""
_WAS_FORWARDED: Final = f"ct mark and {CT_THROUGH | _FWMARK_BIT:#x} == {CT_THROUGH:#x}"
"""The same, cut or not."""

TSMP: Final = 99
"""The protocol number of messages between nodes inside the tunnel."""

PRIORITY: Final = "filter - 10"
"""Before the tables of others, which see our marks."""

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

INTERFACE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")

_CLAMP: Final = "tcp flags and (syn | rst) == syn tcp option maxseg size set rt mtu"


def plan_ruleset(
    config: GatewayConfig, allows: tuple[Allow, ...], *, cut: bool = False, published: bool = False
) -> tuple[Block, ...]:
    """Return the sets and chains of our table.

    ``allows`` is the config's filter, parsed; without a filter it counts for nothing. With ``cut``
    this machine sends nothing more on connections marked CT_CUT. With ``published`` others hand
    ports of this machine on, to containers for one: the filter then decides by the port that the
    peer asked for.
    """
    if not INTERFACE_NAME.fullmatch(config.interface):
        raise GatewayError(
            f"{config.interface[:20]!r} cannot be an interface name; "
            "use up to 15 letters, digits, dots and dashes."
        )
    classes = tuple(classify(allows, version) for version in (4, 6))
    return tuple(_blocks(config, allows, classes, cut=cut, published=published))


def render_ruleset(
    config: GatewayConfig, allows: tuple[Allow, ...], *, cut: bool = False, published: bool = False
) -> str:
    """Write what replaces our whole table in one step."""
    blocks = plan_ruleset(config, allows, cut=cut, published=published)
    return Generation.first(TABLE, blocks).render_whole()


def internet(local_networks: Iterable[IPNetwork], version: int) -> Ranges:
    """Return what an exit node gives access to: the internet without our own networks."""
    local = ranges.of_networks(local_networks, version)
    if version == 4:
        reserved = ranges.of_networks(_NOT_INTERNET_V4, 4)
        return ranges.without(ranges.without(ranges.everything(4), reserved), local)
    return ranges.without(ranges.of_networks(_INTERNET_V6, 6), local)


def accepts_subnets(config: GatewayConfig) -> bool:
    """Whether anything but mesh addresses leads into the tunnel."""
    return config.use_exit or any(
        not any(
            network.version == mesh.version and network.network_address in mesh
            for mesh in MESH_RANGES
        )
        for network in config.routes
    )


def _blocks(
    config: GatewayConfig,
    allows: tuple[Allow, ...],
    classes: tuple[Classes, ...],
    *,
    cut: bool,
    published: bool,
) -> Iterator[list[str]]:
    if accepts_subnets(config):
        yield _chain("prerouting", _prerouting(config), "filter hook prerouting priority mangle")
        yield _chain("mark_output", _mark_output(config), "route hook output priority mangle")
    if config.use_exit:
        yield _chain("held_back", hold_back(config, MARK_MASK))
    if config.use_exit or cut:
        yield _chain("output", _output(config, cut=cut), f"filter hook output priority {PRIORITY}")
    if config.filter is None:
        yield _chain("input", _closed_input(config), f"filter hook input priority {PRIORITY}")
        yield _chain("forward", _closed_forward(config), f"filter hook forward priority {PRIORITY}")
        return
    for one in classes:
        yield from render_sets(one)
    for one in classes:
        yield _chain(f"admit{one.version}", render_admission(one))
    yield _chain("mesh_to_us", _mesh_to_us(config, allows))
    yield _chain("input", _input(config), f"filter hook input priority {PRIORITY}")
    if published:
        hook = "filter hook prerouting priority dstnat - 10"
        yield _chain("before_dnat", _before_dnat(config), hook)
        yield _chain("published", [_CLAMP, f"{_set_mark(ADMITTED_MARK)} accept"])
    yield from _forwarding(config, published=published)


def _forwarding(config: GatewayConfig, *, published: bool) -> Iterator[list[str]]:
    if config.advertised or config.serve_exit or config.entering:
        yield from _zones(config)
        yield _chain("mesh_onward", _mesh_onward(config))
        yield _chain("into_mesh", _into_mesh(config))
    forward = [*(_published(config) if published else ()), *_forward(config)]
    yield _chain("forward", forward, f"filter hook forward priority {PRIORITY}")
    if config.serve_exit and not config.exit_ipv6:
        yield _chain("no_ipv6", _no_ipv6(config), "filter hook prerouting priority mangle")
    if config.serve_exit or (config.advertised and config.snat):
        masquerade = f"meta mark and {MARK_MASK:#x} == {SUBNET_MARK:#x} masquerade"
        yield _chain("postrouting", [masquerade], "nat hook postrouting priority srcnat")


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    head = [f"\ttype {hook}; policy accept;"] if hook else []
    return [f"chain {name} {{", *head, *(f"\t{rule}" for rule in rules), "}"]


def _closed_input(config: GatewayConfig) -> Iterator[str]:
    yield f'iifname "{config.interface}" drop'
    yield from _outside(config)


def _closed_forward(config: GatewayConfig) -> Iterator[str]:
    yield f'iifname "{config.interface}" drop'
    yield f'oifname "{config.interface}" drop'


def _set_mark(mark: int) -> str:
    return f"meta mark set meta mark and {_KEEP_MASK:#010x} or {mark:#x}"


def _set_ct_mark(mark: int) -> str:
    return f"ct mark set ct mark and {_KEEP_MASK:#010x} or {mark:#x}"


def _prerouting(config: GatewayConfig) -> Iterator[str]:
    """Mark what belongs to marked sockets, so that reverse-path checks pass."""
    mark = _set_mark(config.fwmark)
    yield f'iifname {{ "lo", "{config.interface}" }} accept'
    yield f"udp dport {config.listen_port} {mark} accept"
    if config.use_exit:
        yield f"icmpv6 type packet-too-big {mark}"
    yield f"ct mark and {MARK_MASK:#x} == {config.fwmark:#x} {mark}"


def _mark_output(config: GatewayConfig) -> Iterator[str]:
    """Remember in the connection that its packets are marked."""
    yield (
        f"ct state new meta mark and {MARK_MASK:#x} == {config.fwmark:#x} "
        f"{_set_ct_mark(config.fwmark)}"
    )


def _output(config: GatewayConfig, *, cut: bool) -> Iterator[str]:
    """Say nothing more on connections that were cut; keep discovery chatter out of the mesh.

    Only behind an exit node does WireGuard take packets to anybody.
    """
    if cut:
        yield f"{_IS_CUT} counter drop"
    if config.use_exit:
        if config.hold_dns:
            yield (
                f'oifname != {{ "lo", "{config.interface}" }} meta l4proto {{ {TCP}, {UDP} }} '
                f"th dport 53 meta mark and {MARK_MASK:#x} != {config.fwmark:#x} counter reject"
            )
        yield 'oifname "lo" accept'
        yield f'oifname != "{config.interface}" goto held_back'
        yield "ip daddr { 224.0.0.0/4, 169.254.0.0/16 } drop"
        yield "ip6 daddr { ff00::/8, fe80::/10 } drop"


def _input(config: GatewayConfig) -> Iterator[str]:
    yield f'iifname "{config.interface}" goto mesh_to_us'
    yield from _outside(config)


def _outside(config: GatewayConfig) -> Iterator[str]:
    """Stop those outside the tunnel who pretend to be in it, and who call our address there."""
    yield f"udp dport {config.listen_port} accept"
    yield 'iifname "lo" accept'
    yield from _pretenders(config)
    for version, own in _own(config):
        yield f"{match(version, 'daddr', own)} counter drop"


def _pretenders(config: GatewayConfig) -> Iterator[str]:
    for network in MESH_RANGES:
        # A provider may use the same range for its customers: those stay our neighbours.
        mesh = ranges.of_networks([network], network.version)
        pretended = ranges.without(mesh, ranges.of_networks(config.local_networks, network.version))
        for one in pretended:  # compared one by one: a set would be empty for a moment when new
            yield f"{match(network.version, 'saddr', (one,))} counter drop"


def _own(config: GatewayConfig) -> Iterator[tuple[int, Ranges]]:
    own: list[IPNetwork] = [ipaddress.ip_network(address.ip) for address in config.addresses]
    for version in (4, 6):
        if found := ranges.of_networks(own, version):
            yield version, found


def _mesh_to_us(config: GatewayConfig, allows: tuple[Allow, ...]) -> Iterator[str]:
    admitted = f"{_set_mark(ADMITTED_MARK)} {_set_ct_mark(CT_TO_US)} accept"
    yield f"{_IS_NOT_CUT} ct state established accept"
    yield from _strays(f"{_IS_NOT_CUT} ct state related accept")
    for version, own in _own(config):
        to_own = match(version, "daddr", own)
        yield f"{to_own} meta l4proto {TSMP} accept"
        users = exit_users(config, allows, version)
        if config.serve_exit and config.exit_dns_port and users:
            port = f"meta l4proto {TCP} th dport {config.exit_dns_port}"
            yield f"{to_own} {port} {match(version, 'saddr', users)} {admitted}"
    for version in (4, 6):
        if found := here(config, version):
            yield f"{match(version, 'daddr', found)} jump admit{version}"
            yield f"{match(version, 'daddr', found)} {admitted}"
    yield "counter drop"


def _before_dnat(config: GatewayConfig) -> Iterator[str]:
    """Ask the filter about a new connection to this machine while its port is the one asked for.

    Docker and its like then put a container's address and port in its place.
    """
    yield f'iifname != "{config.interface}" accept'
    yield "ct state != new accept"
    yield f"meta l4proto {TSMP} accept"
    if config.exit_dns_port:
        yield f"meta l4proto {TCP} th dport {config.exit_dns_port} accept"
    for version, own in _own(config):
        yield f"{match(version, 'daddr', own)} jump admit{version}"
        yield f"{match(version, 'daddr', own)} {_set_ct_mark(CT_TO_US)}"


def _published(config: GatewayConfig) -> Iterator[str]:
    """Let pass what was admitted to a port of ours before somebody handed it on."""
    tunnel = config.interface
    handed_on = f"ct status dnat ct mark and {MARK_MASK:#x} == {CT_TO_US:#x} goto published"
    yield f'iifname "{tunnel}" oifname != "{tunnel}" {handed_on}'
    yield f'oifname "{tunnel}" ct direction reply {handed_on}'


def _strays(related: str) -> Iterator[str]:
    """Drop what would change our routes, and what belongs to no connection."""
    yield "icmp type redirect drop"
    yield "icmpv6 type { nd-router-advert, nd-redirect } drop"
    yield related
    yield "ct state invalid drop"


def exit_users(config: GatewayConfig, allows: Iterable[Allow], version: int) -> Ranges:
    """Return the sources of a family whose filter gives them the internet through us."""
    wanted = internet(config.local_networks, version)
    if version == 6:  # what a coordinator means by the internet: global unicast
        wanted = ranges.without(wanted, ranges.of_networks(_INTERNET_V6[1:], 6))
    return ranges.merged(
        source
        for allow in allows
        if wanted and allow.version == version and TCP in allow.protocols
        if ranges.contain(
            ranges.merged(
                one
                for ports, where in allow.destinations.items()
                if ports.first <= 53 <= ports.last
                for one in where
            ),
            wanted,
        )
        for source in allow.sources
    )


def here(config: GatewayConfig, version: int) -> Ranges:
    """Return addresses that may be this machine's: in the mesh and in advertised subnets."""
    own: list[IPNetwork] = [ipaddress.ip_network(address.ip) for address in config.addresses]
    return ranges.of_networks([*own, *config.advertised], version)


def _mesh_onward(config: GatewayConfig) -> Iterator[str]:
    admitted = _set_mark(ADMITTED_MARK)
    yield _CLAMP
    yield f"{IS_FORWARDED} ct state established {admitted} accept"
    yield f'oifname "{config.interface}" counter drop'
    yield from _strays(f"{IS_FORWARDED} ct state related {admitted} accept")
    # An answer to a host that may not enter (any more) opens nothing, whatever the filter says.
    yield "ct direction reply counter drop"
    for version in (4, 6):
        zones = [
            f"{ranges.render((one,), version)} : goto {zone}{version}"
            for zone, found in _zone_ranges(config, version)
            for one in found
        ]
        if zones:
            yield f"{ADDRESS[version]} daddr vmap {{ {', '.join(zones)} }}"
    yield "counter drop"


def _zone_ranges(config: GatewayConfig, version: int) -> Iterator[tuple[str, Ranges]]:
    """Return where packets from the tunnel may go on to, each place once."""
    advertised = ranges.of_networks(config.advertised, version)
    if advertised:
        yield "to_lan", advertised
    if config.serve_exit:
        outside = ranges.without(internet(config.local_networks, version), advertised)
        if outside:
            yield "to_internet", outside


def _zones(config: GatewayConfig) -> Iterator[list[str]]:
    admitted = f"{_set_ct_mark(CT_THROUGH)} accept"
    for version in (4, 6):
        for zone, _ in _zone_ranges(config, version):
            masquerades = config.snat or zone == "to_internet"
            mark = _set_mark(SUBNET_MARK if masquerades else ADMITTED_MARK)
            if version == 6 and zone == "to_internet" and not config.exit_ipv6:
                last = "reject with icmpv6 no-route"
            else:
                last = f"{mark} {admitted}"
            yield _chain(f"{zone}{version}", [f"jump admit{version}", last])


def _no_ipv6(config: GatewayConfig) -> Iterator[str]:
    """Refuse connections before the kernel finds no route: it says so once a second at most."""
    for zone, outside in _zone_ranges(config, 6):
        if zone == "to_internet":
            yield (
                f'iifname "{config.interface}" {match(6, "daddr", outside)} '
                f"meta l4proto {TCP} reject with tcp reset"
            )


def _into_mesh(config: GatewayConfig) -> Iterator[str]:
    admitted = _set_mark(ADMITTED_MARK)
    yield _CLAMP
    yield f"{IS_FORWARDED} ct state established,related {admitted} accept"
    yield "ct state != new counter drop"
    for version in (4, 6):
        source = ranges.of_networks(config.entering, version)
        target = ranges.of_networks(config.routes, version)
        if source and target:
            # The middle of a connection that we do not know is the rest of one that was cut.
            yield "tcp flags and (fin | syn | rst | ack) != syn counter drop"
            yield (
                f"{match(version, 'saddr', source)} {match(version, 'daddr', target)} "
                f"{admitted} {_set_ct_mark(CT_ENTERED)} accept"
            )
    yield "counter drop"


def _forward(config: GatewayConfig) -> Iterator[str]:
    forwards = config.advertised or config.serve_exit or config.entering
    yield f'iifname "{config.interface}" ' + ("goto mesh_onward" if forwards else "counter drop")
    yield f'oifname "{config.interface}" ' + ("goto into_mesh" if forwards else "counter drop")
    # An answer to a peer, or its packet, on a way that no longer leads there.
    yield f"{_WAS_FORWARDED} counter drop"
    yield from _pretenders(config)
