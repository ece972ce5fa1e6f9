"""Settings to what nodes are told: the relay map and the DNS configuration. Pure."""

from appliance.coordinator.mapper.tailnet import Tailnet
from appliance.coordinator.settings import (
    DerpSettings,
    RegionSettings,
    RelayNodeSettings,
    Settings,
    literal_address,
    parse_listen,
)
from appliance.protocol.addresses import IPAddress
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion, DnsConfig, Resolver


def tailnet_of(settings: Settings, relay_pin: str = "") -> Tailnet:
    """Return what all nodes share; ``relay_pin`` is the embedded relay's own certificate."""
    return Tailnet(settings.base_domain, derp_map_of(settings, relay_pin), dns_of(settings))


def derp_map_of(settings: Settings, relay_pin: str = "") -> DerpMap:
    """Return the relay map: the embedded relay first, then those that run elsewhere."""
    regions = [*settings.derp.regions]
    if settings.derp.embedded:
        regions.insert(0, _embedded(settings, relay_pin))
    return DerpMap(regions={region.id: _region(region) for region in regions})


def dns_of(settings: Settings) -> DnsConfig:
    """Return the DNS configuration; without MagicDNS nodes leave the host's names alone."""
    dns = settings.dns
    routes: dict[str, tuple[Resolver, ...] | None] = {
        suffix: _resolvers(servers) for suffix, servers in dns.split.items()
    }
    if dns.magic_dns:
        routes = {settings.base_domain: (), **routes}
    domains = ((settings.base_domain,) if dns.magic_dns else ()) + dns.search_domains
    return DnsConfig(
        proxied=dns.magic_dns,
        domains=domains or None,
        routes=routes or None,
        resolvers=_resolvers(dns.nameservers) or None,
    )


def _embedded(settings: Settings, relay_pin: str) -> RegionSettings:
    derp = settings.derp
    own = settings.relay_listen_address
    host = derp.host or settings.host
    node = RelayNodeSettings(
        host=host,
        port=derp.port or (own[1] if own else settings.port),
        stun_port=_stun_port(derp),
        ipv4=derp.ipv4 or _literal(host, 4),
        ipv6=derp.ipv6 or _literal(host, 6),
        cert_name=derp.cert_name or relay_pin,
        insecure=derp.insecure,
    )
    return RegionSettings(
        id=derp.region_id, code=derp.region_code, name=derp.region_name, nodes=(node,)
    )


def _stun_port(derp: DerpSettings) -> int:
    if not derp.stun_listen:
        return -1
    return derp.stun_port or parse_listen(derp.stun_listen)[1]


def _literal(host: str, version: int) -> str:
    """Return a host that is an address; such a one has none of the other family."""
    address = literal_address(host)
    if address is None:
        return ""
    return str(address) if address.version == version else "none"


def _region(region: RegionSettings) -> DerpRegion:
    nodes = tuple(_node(region.id, n, node) for n, node in enumerate(region.nodes))
    return DerpRegion(
        region_id=region.id,
        region_code=region.code,
        region_name=region.name or region.code,
        nodes=nodes,
    )


def _node(region_id: int, index: int, node: RelayNodeSettings) -> DerpNode:
    return DerpNode(
        name=f"{region_id}{chr(ord('a') + index % 26)}",
        region_id=region_id,
        host_name=node.host,
        derp_port=node.port,
        stun_port=node.stun_port,
        ipv4=node.ipv4,
        ipv6=node.ipv6,
        cert_name=node.cert_name,
        insecure_for_tests=node.insecure,
    )


def _resolvers(servers: tuple[str, ...]) -> tuple[Resolver, ...]:
    return tuple(Resolver(addr=server) for server in servers)


def relay_addresses(derp_map: DerpMap) -> tuple[IPAddress, ...]:
    """Return the addresses that the map itself gives for its relays."""
    regions = (region for region in (derp_map.regions or {}).values() if region is not None)
    nodes = (node for region in regions for node in region.nodes or ())
    texts = (text for node in nodes for text in (node.ipv4, node.ipv6, node.host_name))
    found = (literal_address(text) for text in texts)
    return tuple(address for address in found if address is not None)
