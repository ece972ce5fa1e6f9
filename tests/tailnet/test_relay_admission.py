"""The embedded relay serves the nodes of the mesh, and nobody who has left it."""

import asyncio
from datetime import timedelta

import pytest

from appliance.adminapi.types import ExpireNode
from appliance.protocol.keys import NodePrivate
from appliance.relay.server import RelayServer
from tests.support.relay import FakeNode, log_in, memory_relay
from tests.support.tailnet import NodeClient, Realm, running_realm


def private_key(node: NodeClient) -> NodePrivate:
    return NodePrivate.from_seed((b"node%d/%d" % (node.number, node.node_seed)).ljust(32))


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def two_at_the_relay(realm: Realm, relay: RelayServer) -> tuple[FakeNode, FakeNode]:
    """Nodes 1 and 2, registered and logged in; they have exchanged a packet."""
    realm.coordinator.on_outcast(lambda key: relay.expel(key, "it has left"))
    one, two = await realm.joined(1), await realm.joined(2)
    first, second = [await log_in(relay, private_key(node)) for node in (one, two)]
    first.send_packets(two.key, b"hello")
    assert second.take().endswith(b"hello")
    return first, second


async def refused(relay: RelayServer, node: NodePrivate) -> bool:
    again = FakeNode(relay, node)
    again.send(again.login)
    await turns()
    return again.transport.closing


async def test_a_deleted_node_is_thrown_off_and_stays_off() -> None:
    async with running_realm() as realm, memory_relay(realm.coordinator.admit) as relay:
        first, second = await two_at_the_relay(realm, relay)
        await realm.coordinator.admin.delete_node("1")
        await turns()
        assert first.transport.closing
        assert not second.transport.closing
        assert await refused(relay, first.key)


@pytest.mark.parametrize("in_s", [0, 60])
async def test_an_expired_node_is_thrown_off_until_it_logs_in_again(in_s: int) -> None:
    async with running_realm() as realm, memory_relay(realm.coordinator.admit) as relay:
        first, second = await two_at_the_relay(realm, relay)
        admin = realm.coordinator.admin
        await admin.expire_node("1", ExpireNode(in_s=in_s))
        if in_s:
            assert not first.transport.closing
            realm.now[0] += timedelta(seconds=in_s)
            await realm.coordinator.state.report(lambda snapshot, _now: (snapshot, None))
        await turns()
        assert first.transport.closing
        assert not second.transport.closing
        assert await refused(relay, first.key)
        await admin.expire_node("1", ExpireNode(never=True))
        assert not await refused(relay, first.key)
