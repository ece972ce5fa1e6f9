"""Who answers DNS queries: ours while an exit node is in use, those of others while we are one.

Behind an exit node, in this order: resolvers that the coordinator wants used even then, the exit
node itself, resolvers that the coordinator names, the host's own ones that are not on its LAN. All
of them are asked through the tunnel.

Source: tailscale ipn/ipnlocal/node_backend.go (dnsConfigForNetmap) and local.go
(exitNodeCanProxyDNS), ipn/ipnlocal/peerapi.go (replyToDNSQueries), 2026-08.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Final

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import exit_node_of, serves_exit
from appliance.controlclient.config import ControlUrl
from appliance.controlclient.errors import ControlError
from appliance.dns.config import (
    STUB_V4,
    STUB_V6,
    DnsConfig,
    ExitNode,
    HostResolvers,
    Nobody,
    Resolvers,
    Upstream,
)
from appliance.gateway import ranges
from appliance.gateway.filter import DEFAULT_PROTOCOLS, TCP
from appliance.gateway.ranges import Ranges
from appliance.netmap.model import short_name
from appliance.peerapi.config import PeerApiConfig
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort, IPAddress, IPNetwork, parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import FilterRule, Node, Resolver, Service

PEERAPI_V4: Final = "peerapi4"
PEERAPI_V6: Final = "peerapi6"
PEERAPI_DNS: Final = "peerapi-dns-proxy"
_DNS_VERSION: Final = 1

_DNS_SINCE: Final = 26
"""From this capability version on every reference client answers DNS for others."""

_INTERNET: Final = {4: ip_address("0.0.0.0"), 6: ip_address("2000::")}
"""Who may reach these, port 53, may use an exit node's DNS: the reference's test."""


def stub_addresses(inputs: Inputs) -> tuple[IPAddress, ...]:
    """Return where this node answers its own queries: nowhere unless an exit node is chosen."""
    if not inputs.prefs.exit_node:
        return ()
    families = {network.version for network in inputs.netmap.self_node.addresses or ()}
    return tuple(stub for stub in (STUB_V4, STUB_V6) if stub.version in families)


def plan_dns(inputs: Inputs) -> DnsConfig:
    """Decide who answers this machine's queries."""
    stub = stub_addresses(inputs)
    if not stub:
        return DnsConfig(inputs.interface, inputs.fwmark)
    return DnsConfig(
        interface=inputs.interface,
        fwmark=inputs.fwmark,
        stub=stub,
        clients=frozenset(ip_network(address) for address in stub)
        | frozenset(inputs.netmap.self_node.addresses or ())
        | inputs.around.internal,
        point_host=inputs.prefs.accept_dns,
        upstream=_upstream(inputs),
        direct_names=frozenset(_direct_names(inputs)),
    )


def plan_peerapi(inputs: Inputs) -> PeerApiConfig:
    """Decide which peers may have names looked up by this node."""
    if not serves_exit(inputs) or inputs.prefs.shields_up:
        return PeerApiConfig(inputs.interface)
    config = inputs.netmap.dns
    return PeerApiConfig(
        interface=inputs.interface,
        addresses=_addresses(inputs.netmap.self_node),
        dns_clients=_dns_clients(inputs),
        refused_names=(config.exit_node_filtered_set if config else None) or (),
    )


def plan_services(port: int, addresses: Iterable[IPNetwork]) -> tuple[Service, ...]:
    """Announce the port for peers; none while nothing is served there."""
    if not port:
        return ()
    families = sorted({network.version for network in addresses})
    names = {4: PEERAPI_V4, 6: PEERAPI_V6}
    return (
        *(Service(proto=names[family], port=port) for family in families),
        Service(proto=PEERAPI_DNS, port=_DNS_VERSION),
    )


def _upstream(inputs: Inputs) -> Upstream:
    config = inputs.netmap.dns
    named = (config.resolvers if config else None) or ()
    fallback = (config.fallback_resolvers if config else None) or ()
    kept = _readable(one for one in named if one.use_with_exit_node)
    if kept:
        return Resolvers(kept)
    exit_node = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    if exit_node is None:
        return Nobody(
            f"Names are not looked up: the exit node {inputs.prefs.exit_node[:80]!r} is not there "
            "or not approved."
        )
    offered = _peerapi_of(exit_node, inputs)
    if offered:
        return ExitNode(short_name(exit_node), offered)
    for resolvers in (_readable(named), _readable(fallback)):
        if resolvers:
            return Resolvers(resolvers)
    return HostResolvers(inputs.around.uplink | inputs.around.internal)


def _peerapi_of(peer: Node, inputs: Inputs) -> tuple[AddrPort, ...]:
    """Return where the peer answers DNS for others, IPv4 first; nowhere if it does not."""
    services = (peer.hostinfo.services if peer.hostinfo else None) or ()
    ports = {one.proto: one.port for one in services}
    if peer.cap < _DNS_SINCE and not ports.get(PEERAPI_DNS):
        return ()
    families = {one.version for one in _addresses(inputs.netmap.self_node)}
    by_family = {4: ports.get(PEERAPI_V4, 0), 6: ports.get(PEERAPI_V6, 0)}
    return tuple(
        AddrPort(one, by_family[one.version])
        for one in _addresses(peer)
        if one.version in families and 0 < by_family[one.version] < 1 << 16
    )


def _direct_names(inputs: Inputs) -> Iterator[str]:
    """Return the names without which there is no tunnel."""
    hosts = [
        node.host_name
        for region in (inputs.netmap.derp_map.regions or {}).values()
        for node in (region.nodes if region else None) or ()
    ]
    with suppress(ControlError):
        hosts.append(ControlUrl.parse(inputs.prefs.control_url).host)
    for host in hosts:
        if host and not _is_address(host):
            yield host.lower().rstrip(".")


def _dns_clients(inputs: Inputs) -> frozenset[IPAddress]:
    rules = inputs.netmap.filter_rules
    allowed = {version: _internet_sources(rules, version) for version in (4, 6)}
    return frozenset(
        address
        for peer in inputs.netmap.peers.values()
        for address in _addresses(peer)
        if any(one.first <= int(address) <= one.last for one in allowed[address.version])
    )


def _internet_sources(rules: tuple[FilterRule, ...], version: int) -> Ranges:
    return ranges.merged(
        one
        for rule in rules
        if TCP in (rule.ip_proto or DEFAULT_PROTOCOLS) and _reaches_internet(rule, version)
        for text in rule.src_ips or ()
        for one in _parsed(text, version)
    )


def _reaches_internet(rule: FilterRule, version: int) -> bool:
    probe = int(_INTERNET[version])
    return any(
        entry.ports.first <= dns.PORT <= entry.ports.last
        and any(one.first <= probe <= one.last for one in _parsed(entry.ip, version))
        for entry in rule.dst_ports or ()
    )


def _parsed(text: str, version: int) -> Ranges:
    """Read a rule's addresses of one family; what cannot be read allows nothing."""
    if text == "*":
        return ranges.everything(version)
    try:
        found, parsed = ranges.parse(text)
    except ProtocolError:
        return ()
    return parsed if found == version else ()


def _readable(resolvers: Iterable[Resolver]) -> tuple[AddrPort, ...]:
    """Return the resolvers given by address; DNS over HTTPS is left out."""
    found: list[AddrPort] = []
    for resolver in resolvers:
        try:
            found.append(AddrPort(parse_ip(resolver.addr), dns.PORT))
        except ProtocolError:
            try:
                found.append(AddrPort.parse(resolver.addr))
            except ProtocolError:
                continue
    return tuple(found)


def _addresses(node: Node) -> tuple[IPAddress, ...]:
    """Return a node's own addresses, IPv4 first."""
    own = (
        one.network_address for one in node.addresses or () if one.prefixlen == one.max_prefixlen
    )
    return tuple(sorted(own, key=lambda one: one.version))


def _is_address(host: str) -> bool:
    try:
        parse_ip(host)
    except ProtocolError:
        return False
    return True
