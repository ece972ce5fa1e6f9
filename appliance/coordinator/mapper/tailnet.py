"""What all nodes of the tailnet share, apart from each other."""

from dataclasses import dataclass

from appliance.protocol.tailcfg import DerpMap, DnsConfig


@dataclass(frozen=True, slots=True)
class Tailnet:
    """The parts of a netmap that the settings decide."""

    domain: str
    """The MagicDNS suffix, without dots around it."""
    derp_map: DerpMap
    dns: DnsConfig

    def fqdn(self, label: str) -> str:
        """Return a node's full name, with the trailing dot that clients insist on."""
        return f"{label}.{self.domain}."
