"""What every plan is made from."""

from dataclasses import dataclass, field
from datetime import datetime

from appliance.host.network import NetworkState
from appliance.netmap.model import NetworkMap
from appliance.netmap.prefs import Prefs
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import DiscoPrivate, NodePrivate


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The networks that this machine is directly attached to."""

    lan: frozenset[IPNetwork] = frozenset()
    """Private networks at the uplinks: what an owner means by "my LAN"."""
    uplink: frozenset[IPNetwork] = frozenset()
    """Every network at an uplink, ``lan`` included."""
    internal: frozenset[IPNetwork] = frozenset()
    """Networks at other interfaces, such as containers' bridges."""
    network: NetworkState = field(default_factory=NetworkState)
    """What all of the above was read from: which interface has which network."""


@dataclass(frozen=True, slots=True)
class RouteMemory:
    """What this node's own routes were, so that a loss is told from what never was."""

    held: frozenset[IPNetwork] = frozenset()
    """Named subnets that an interface or a route of its own once led to: without it they are
    lost, though the default route seems to lead there."""
    served: frozenset[IPNetwork] = frozenset()
    """LANs that were found by themselves and approved."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """One moment of the agent; equal inputs give equal plans."""

    netmap: NetworkMap
    prefs: Prefs
    around: Surroundings
    node_key: NodePrivate
    disco_key: DiscoPrivate
    interface: str
    listen_port: int
    fwmark: int
    now: datetime
    """For key expiry, with a zone."""
    memory: RouteMemory = RouteMemory()
