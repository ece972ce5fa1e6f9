"""Policies on the wire: what each node is told when another one comes into force."""

import json
from ipaddress import ip_network

from appliance.adminapi.types import PolicyDraft, Prefixes, RevertPolicy
from appliance.protocol.tailcfg import FilterRule, Hostinfo, MapResponse
from tests.support.tailnet import NodeClient, Realm, drain, running_realm

LAN, LAB = "192.168.1.0/24", "10.1.0.0/16"
EXIT = ("0.0.0.0/0", "::/0")


def accept(src: str, *dst: str) -> dict:
    return {"action": "accept", "src": [src], "dst": list(dst)}


async def gateway_and_two(realm: Realm) -> tuple[NodeClient, NodeClient, NodeClient]:
    """Node 1 carries two subnets and the internet; nodes 2 and 3 are clients."""
    nodes = [await realm.joined(number) for number in (1, 2, 3)]
    await nodes[0].report(hostinfo=offering(LAN, LAB, *EXIT))
    await realm.coordinator.admin.approve_routes("1", Prefixes(prefixes=(LAN, LAB, "exit")))
    for node in nodes:
        await drain(node)
    return nodes[0], nodes[1], nodes[2]


def offering(*prefixes: str) -> Hostinfo:
    routes = tuple(ip_network(prefix) for prefix in prefixes)
    return Hostinfo(hostname="node1", os="linux", routable_ips=routes)


async def set_policy(realm: Realm, **policy: object) -> None:
    draft = PolicyDraft(text=json.dumps(policy), confirmed=True)
    await realm.coordinator.admin.set_policy(draft)


def routes(message: MapResponse) -> list[str]:
    """The routes of node 1 that a message shows."""
    [gateway] = message.peers_changed or ()
    assert gateway.id == 1
    return [str(p) for p in gateway.allowed_ips or () if p not in (gateway.addresses or ())]


def rules(message: MapResponse) -> tuple[FilterRule, ...]:
    assert message.packet_filters is not None
    return message.packet_filters["base"] or ()


async def test_each_client_is_shown_the_routes_that_it_may_use() -> None:
    async with running_realm() as realm:
        gateway, one, other = await gateway_and_two(realm)
        await set_policy(
            realm,
            acls=[
                accept("100.64.0.2", f"{LAN}:443"),
                accept("100.64.0.3", "100.64.0.1:22", "autogroup:internet:*"),
            ],
        )
        message = await one.next()
        assert message.peers_removed == (3,)
        assert routes(message) == [LAN]
        assert routes(await other.next()) == list(EXIT)
        lan, rest = rules(await gateway.next())
        assert (lan.src_ips, [t.ip for t in lan.dst_ports or ()]) == (("100.64.0.2",), [LAN])
        assert rest.src_ips == ("100.64.0.3",)
        assert len(rest.dst_ports or ()) == 1 + 7
        await realm.coordinator.admin.revert_policy(RevertPolicy())
        everything = {LAN, LAB, *EXIT}
        for client in (one, other):
            message = await client.next()
            shown = next(p for p in message.peers_changed or () if p.id == 1)
            assert everything <= {str(prefix) for prefix in shown.allowed_ips or ()}


async def test_a_route_that_the_policy_approves_needs_no_admin() -> None:
    async with running_realm() as realm:
        gateway, client = await realm.joined(1), await realm.joined(2)
        await set_policy(realm, autoApprovers={"routes": {"192.168.0.0/16": ["alice@"]}})
        for node in (gateway, client):
            await drain(node)
        await gateway.report(hostinfo=offering(LAN, LAB, *EXIT))
        assert routes(await client.next()) == [LAN]
        own = (await gateway.next()).node
        assert own is not None
        assert own.primary_routes == (ip_network(LAN),)


async def test_a_policy_approves_what_is_advertised_already() -> None:
    async with running_realm() as realm:
        gateway, client = await realm.joined(1), await realm.joined(2)
        await gateway.report(hostinfo=offering(LAN, *EXIT))
        await drain(client)
        await set_policy(realm, autoApprovers={"exitNode": ["alice@"]})
        assert routes(await client.next()) == list(EXIT)
