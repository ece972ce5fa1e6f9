"""What the machine must route, forward, translate and let in; and what it does."""

from dataclasses import dataclass

from appliance.protocol.addresses import IPInterface, IPNetwork
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
    snat: bool = True
    """Subnets see this machine's address instead of the peer's (exit traffic: always)."""
    filter: tuple[FilterRule, ...] | None = None
    """Who may reach what, as the coordinator says; None lets nothing in."""


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
