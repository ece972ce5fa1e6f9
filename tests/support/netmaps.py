"""Small netmaps to plan from."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

from appliance.agent.plan.inputs import Inputs, Surroundings
from appliance.host.network import DefaultRoute, Interface, NetworkState
from appliance.netmap.model import NetworkMap
from appliance.netmap.prefs import Prefs
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import DiscoPrivate, DiscoPublic, NodePrivate, NodePublic
from appliance.protocol.tailcfg import Node

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LAN = ip_network("192.168.1.0/24")
DEFAULTS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def nets(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


def node(number: int, name: str, *routes: IPNetwork, **fields: Any) -> Node:
    address = ip_network(f"100.64.0.{number}/32")
    values = {
        "id": number,
        "stable_id": f"n{number}",
        "name": f"{name}.example.ts.",
        "user": 1,
        "key": NodePublic(bytes([number]) * 32),
        "disco_key": DiscoPublic(bytes([number, 1]) * 16),
        "addresses": (address,),
        "allowed_ips": (address, *routes),
        "machine_authorized": True,
        "online": True,
    }
    return Node(**{**values, **fields})


def around(lan: tuple[IPNetwork, ...] = (), internal: tuple[IPNetwork, ...] = ()) -> Surroundings:
    """A machine at these networks, with a way to the rest of the world."""
    network = NetworkState(
        interfaces=(
            Interface(2, "eth0", None, (), lan),
            Interface(3, "docker0", "bridge", (), internal, is_cable=False),
        ),
        default_routes=(DefaultRoute(4, "eth0", ip_address("192.168.1.1"), 0),),
    )
    return Surroundings(frozenset(lan), frozenset(lan), frozenset(internal), network)


def inputs(
    me: Node,
    *peers: Node,
    lan: tuple[IPNetwork, ...] = (),
    internal: tuple[IPNetwork, ...] = (),
    **prefs: Any,
) -> Inputs:
    return Inputs(
        netmap=NetworkMap(me, {peer.id: peer for peer in peers}),
        prefs=Prefs(want_running=True, **prefs),
        around=around(lan, internal),
        node_key=NodePrivate.from_seed(bytes(32)),
        disco_key=DiscoPrivate.from_seed(bytes(32)),
        interface="latchkey0",
        listen_port=41641,
        fwmark=0x80000,
        now=NOW,
    )
