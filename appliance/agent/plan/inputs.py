"""What every plan is made from."""

from dataclasses import dataclass
from datetime import datetime

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
