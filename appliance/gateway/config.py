"""What the machine must route, forward, translate and let in; and what it does."""

from dataclasses import dataclass

from appliance.protocol.addresses import IPAddress, IPInterface, IPNetwork
from appliance.protocol.tailcfg import FilterRule


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The whole desired state; equal configs mean no work."""

    interface: str
    """The tunnel; it need not exist yet, routes into it follow once it does."""
    addresses: tuple[IPInterface, ...]
    """This node's own addresses in the mesh."""
    listen_port: int
    fwmark: int
    """The mark of packets that must never enter the tunnel."""
    routes: frozenset[IPNetwork] = frozenset()
    """What leads into the tunnel, without the default routes (``use_exit``)."""
    local_networks: frozenset[IPNetwork] = frozenset()
    """Networks that stay out of the tunnel, whatever the routes say: our own LAN first."""
    advertised: frozenset[IPNetwork] = frozenset()
    """Subnets that peers may reach through this machine (approved ones)."""
    serve_exit: bool = False
    """Peers may reach the internet, though never our LAN, through this machine."""
    use_exit: bool = False
    """Both default routes lead into the tunnel."""
    hold_dns: bool = False
    """Behind an exit node: our own DNS leaves by the tunnel alone, wherever its server is."""
    lan_access: bool = True
    """Behind an exit node: what is on the cables around us is in reach, multicast too."""
    snat: bool = True
    """Subnets see this machine's address instead of the peer's (exit traffic: always)."""
    filter: tuple[FilterRule, ...] | None = None
    """Who may reach what, as the coordinator says; None lets nothing in."""
    exit_dns_port: int = 0
    """The TCP port at our mesh addresses where those who may use this exit node get DNS."""
    exit_ipv6: bool = True
    """As an exit node we have IPv6; if not, peers are told so at once instead of waiting."""
    entering: frozenset[IPNetwork] = frozenset()
    """Networks of ours whose hosts may open connections into ``routes`` (site to site)."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection that a peer opened to us, or through us, as the kernel tracks it."""

    source: IPAddress
    destination: IPAddress
    """What the peer asked for."""
    protocol: int
    port: int
    """The destination's; 0 where the protocol has none."""
    answered: bool
    """Something came back from the destination."""


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """What of ours is really in the kernel."""

    ruleset: bool
    """Our nftables table is loaded."""
    rules: int
    """Policy rules of ours, both families together."""
    routes: frozenset[IPNetwork]
    """Routes into the tunnel, the default routes included."""
    local_networks: frozenset[IPNetwork]
    """Networks that our table keeps out of the tunnel."""
    forwarding_ipv4: bool
    forwarding_ipv6: bool
