"""The DNS configuration that a coordinator hands to its nodes.

Source: tailscale tailcfg/tailcfg.go (DNSConfig), 2026-08.
"""

import msgspec

from appliance.protocol.tailcfg.codec import Message


class Resolver(Message, frozen=True, kw_only=True):
    """One upstream resolver: an address, an address and port, or a DoH URL."""

    addr: str = ""
    bootstrap_resolution: tuple[str, ...] | None = None
    use_with_exit_node: bool = False


class DnsRecord(Message, frozen=True, kw_only=True):
    """An extra name; an empty type means A or AAAA by its value."""

    name: str = ""
    type: str = ""
    value: str = ""


class DnsConfig(Message, frozen=True, kw_only=True):
    """Replaced as a whole by each message that carries it."""

    resolvers: tuple[Resolver, ...] | None = None
    routes: dict[str, tuple[Resolver, ...] | None] | None = None
    fallback_resolvers: tuple[Resolver, ...] | None = None
    domains: tuple[str, ...] | None = None
    proxied: bool = False
    cert_domains: tuple[str, ...] | None = None
    extra_records: tuple[DnsRecord, ...] | None = None
    exit_node_filtered_set: tuple[str, ...] | None = msgspec.field(
        name="ExitNodeFilteredSet", default=None
    )
