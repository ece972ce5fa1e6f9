"""Two routers of one LAN: peers hear of a change of hands at once, in one message."""

import asyncio
from contextlib import AsyncExitStack
from ipaddress import ip_network

from appliance.adminapi.types import Prefixes
from appliance.coordinator.standby import RouterWatch
from appliance.protocol.tailcfg import Hostinfo, MapResponse, PingRequest
from tests.support.tailnet import NodeClient, Realm, drain, running_realm

LAN = "192.168.1.0/24"
NET = ip_network(LAN)


def offers(number: int, *prefixes: str) -> Hostinfo:
    routes = tuple(ip_network(prefix) for prefix in prefixes)
    return Hostinfo(hostname=f"node{number}", os="linux", routable_ips=routes or None)


async def two_routers_and_a_client(realm: Realm) -> tuple[NodeClient, NodeClient, NodeClient]:
    """Nodes 1 and 2 may carry the LAN; node 3 is a client."""
    nodes = [await realm.joined(number) for number in (1, 2, 3)]
    for number in (1, 2):
        await nodes[number - 1].report(hostinfo=offers(number, LAN))
        await realm.coordinator.admin.approve_routes(str(number), Prefixes(prefixes=(LAN,)))
    for node in nodes:
        await drain(node)
    return nodes[0], nodes[1], nodes[2]


def carriers(message: MapResponse) -> dict[int, bool]:
    """Which nodes of a message carry the LAN."""
    changed = message.peers_changed or ()
    carried = {node.id: NET in (node.allowed_ips or ()) for node in changed}
    assert carried == {node.id: NET in (node.primary_routes or ()) for node in changed}
    return carried


async def serving(realm: Realm) -> dict[str, bool]:
    found = (await realm.coordinator.admin.routes()).routes
    return {route.node: route.serving for route in found}


async def test_a_withdrawn_route_changes_hands_and_its_approval_waits() -> None:
    async with running_realm() as realm:
        one, two, client = await two_routers_and_a_client(realm)
        assert await serving(realm) == {"node1": True, "node2": False}
        await one.report(hostinfo=offers(1))
        assert carriers(await client.next()) == {1: False, 2: True}
        own = (await two.next()).node
        assert own is not None
        assert own.primary_routes == (NET,)
        [first, second] = (await realm.coordinator.admin.routes()).routes
        assert (first.advertised, first.approved, first.serving) == (False, True, False)
        assert (second.advertised, second.approved, second.serving) == (True, True, True)
        await drain(one)
        await one.report(hostinfo=offers(1, LAN))
        assert await client.is_quiet(), "the second keeps what it carries"
        own = (await one.next()).node
        assert own is not None
        assert NET in (own.allowed_ips or ())
        assert own.primary_routes is None
        await two.report(hostinfo=offers(2))
        assert carriers(await client.next()) == {1: True, 2: False}


async def test_a_router_that_goes_offline_hands_over_and_does_not_take_back() -> None:
    async with running_realm() as realm:
        _, _, client = await two_routers_and_a_client(realm)
        realm.coordinator._presence._offline_after_s = 0.02
        async with AsyncExitStack() as connection:
            one = NodeClient(1, connection)
            await one.connect(realm.stream())
            await one.poll(hostinfo=offers(1, LAN))
            assert await client.is_quiet()
        assert carriers(await client.next()) == {1: False, 2: True}
        again = await realm.node(1)
        await again.poll(hostinfo=offers(1, LAN))
        message = await client.next()
        assert message.peers_changed is None, "a patch says that it is online again"
        assert message.peers_changed_patch
        assert await serving(realm) == {"node1": False, "node2": True}


async def test_a_revoked_route_changes_hands() -> None:
    async with running_realm() as realm:
        _, _, client = await two_routers_and_a_client(realm)
        await realm.coordinator.admin.revoke_routes("1", Prefixes(prefixes=(LAN,)))
        assert carriers(await client.next()) == {1: False, 2: True}


async def test_a_deleted_router_hands_over() -> None:
    async with running_realm() as realm:
        _, _, client = await two_routers_and_a_client(realm)
        await realm.coordinator.admin.delete_node("1")
        message = await client.next()
        assert message.peers_removed == (1,)
        assert carriers(message) == {2: True}


async def answer(node: NodeClient) -> PingRequest:
    ping = (await node.next()).ping_request
    assert ping is not None
    reply = await node.client.request("HEAD", ping.url.removeprefix("https://203.0.113.5"), (), b"")
    assert reply.status == 200
    return ping


async def test_a_router_that_does_not_answer_is_replaced() -> None:
    async with running_realm() as realm, asyncio.TaskGroup() as tasks:
        one, two, client = await two_routers_and_a_client(realm)
        coordinator = realm.coordinator
        patient = RouterWatch(coordinator.state, coordinator._pings)
        turn = tasks.create_task(patient.turn())
        assert (await answer(one)).types == ""
        await turn
        assert await client.is_quiet(), "it answered"
        hasty = RouterWatch(coordinator.state, coordinator._pings, answer_s=0.01)
        await hasty.turn()
        assert carriers(await client.next()) == {1: False, 2: True}
        assert await serving(realm) == {"node1": False, "node2": True}
        for node in (one, two):
            await drain(node)
        turn = tasks.create_task(patient.turn())
        await answer(one)
        await answer(two)
        await turn
        assert coordinator.state.snapshot.silent == frozenset()
        assert await client.is_quiet(), "it does not get its routes back"


async def test_a_new_stream_is_an_answer() -> None:
    async with running_realm() as realm:
        one, _, _ = await two_routers_and_a_client(realm)
        coordinator = realm.coordinator
        await RouterWatch(coordinator.state, coordinator._pings, answer_s=0.01).turn()
        assert coordinator.state.snapshot.silent == {1}
        again = await realm.node(1)
        await again.poll(hostinfo=offers(1, LAN))
        assert coordinator.state.snapshot.silent == frozenset()
        assert one.number == 1
