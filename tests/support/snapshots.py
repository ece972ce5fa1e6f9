"""Users, keys and nodes for tests of the coordinator, as values."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

from appliance.coordinator.change import between
from appliance.coordinator.mapper.tailnet import Tailnet
from appliance.coordinator.mapper.view import View, first_view, next_view
from appliance.coordinator.model import NodeRecord, PreAuthKey, Snapshot, User
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.state import settle
from appliance.protocol.keys import DiscoPublic, MachinePublic, NodePublic
from appliance.protocol.tailcfg import (
    DerpMap,
    DerpNode,
    DerpRegion,
    DnsConfig,
    Hostinfo,
)

NOW = datetime(2026, 5, 2, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)

ALICE = User(1, "alice", "Alice", NOW)
BOB = User(2, "bob", "Bob", NOW)

TAILNET = Tailnet(
    "mesh.test",
    DerpMap(
        regions={
            900: DerpRegion(
                region_id=900,
                region_code="home",
                nodes=(DerpNode(name="900a", region_id=900, host_name="relay.test"),),
            )
        }
    ),
    DnsConfig(proxied=True, domains=("mesh.test",), routes={"mesh.test": ()}),
)


def machine_key(number: int) -> MachinePublic:
    return MachinePublic(b"machine" + number.to_bytes(25))


def node_key(number: int) -> NodePublic:
    return NodePublic(b"node" + number.to_bytes(28))


def disco_key(number: int) -> DiscoPublic:
    return DiscoPublic(b"disco" + number.to_bytes(27))


def node(number: int, **changes: object) -> NodeRecord:
    """A connected node of Alice's; its number is everywhere in it."""
    record = NodeRecord(
        id=number,
        machine_key=machine_key(number),
        node_key=node_key(number),
        user_id=ALICE.id,
        name=f"node{number}",
        ipv4=IPv4Address("100.64.0.0") + number,
        ipv6=IPv6Address("fd7a:115c:a1e0::") + number,
        created=NOW,
        hostinfo=Hostinfo(hostname=f"node{number}", os="linux"),
        disco_key=disco_key(number),
        endpoints=(f"192.0.2.{number % 250}:41641",),
        home_derp=900,
        cap_version=131,
        online=True,
        last_seen=NOW,
    )
    return replace(record, **changes)


def router(number: int, *prefixes: str, approved: bool = True, **changes: object) -> NodeRecord:
    """A node that advertises routes, and may carry them."""
    routes = tuple(ip_network(prefix) for prefix in prefixes)
    return node(
        number,
        hostinfo=Hostinfo(hostname=f"node{number}", routable_ips=routes),
        approved_routes=frozenset(routes) if approved else frozenset(),
        **changes,
    )


def snapshot(*nodes: NodeRecord, keys: tuple[PreAuthKey, ...] = ()) -> Snapshot:
    """A settled snapshot with Alice, Bob, and these nodes."""
    found = Snapshot().with_user(ALICE).with_user(BOB).with_nodes(nodes)
    for key in keys:
        found = found.with_key(key)
    last = max((n.id for n in nodes), default=0)
    return settle(replace(found, last_node_id=last, last_address=last), NOW)


def view_of(*nodes: NodeRecord) -> View:
    return first_view(snapshot(*nodes), TAILNET, AllowAll())


def advance(view: View, *changed: NodeRecord, gone: tuple[int, ...] = (), now: datetime = NOW):
    """The next view after nodes changed, and the change itself."""
    found = settle(view.snapshot.with_nodes(changed).without_nodes(gone), now)
    change = between(view.snapshot, found)
    return next_view(view, found, change), change
