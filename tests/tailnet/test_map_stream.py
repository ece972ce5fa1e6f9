"""What connected nodes hear of each other, and how soon.

node1 ──┐
node2 ──┼── memory streams ── Noise ── HTTP/2 ── coordinator
node3 ──┘
"""

import asyncio
from ipaddress import ip_network

import pytest

from appliance.adminapi.types import AskNode, PingNode, Prefixes, PublishedAddress
from appliance.coordinator import mapstream
from appliance.coordinator.errors import RefusedError
from appliance.coordinator.policy.load import policy_of
from appliance.protocol.tailcfg import Hostinfo, MapResponse, NetInfo, PeerChange, decode, encode
from tests.support.tailnet import Realm, drain, running_realm

LAN = "192.168.1.0/24"


async def three(realm: Realm) -> tuple:
    """Three joined nodes that have heard of each other."""
    one, two = await realm.joined(1), await realm.joined(2)
    await one.next()
    three = await realm.joined(3)
    for node in (one, two):
        await drain(node)
    return one, two, three


async def test_everybody_hears_of_a_newcomer_at_once() -> None:
    async with running_realm() as realm:
        one = await realm.joined(1)
        two = await realm.node(2)
        key = await realm.key()
        await two.register(key)
        message = await one.next()
        assert [peer.name for peer in message.peers_changed or ()] == ["node2.mesh.test."]
        first = await two.poll()
        assert [peer.id for peer in first.peers or ()] == [1]


async def test_a_lite_update_reaches_the_others_and_not_the_sender() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        reply = await one.report(endpoints=("192.0.2.1:41641",), net_info=NetInfo())
        assert (reply.status, reply.body) == (200, b"")
        told = await two.next()
        assert told.peers_changed_patch == (PeerChange(node_id=1, endpoints=("192.0.2.1:41641",)),)
        assert await one.is_quiet()


async def test_home_relay_and_endpoints_come_in_two_messages() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        await one.report(endpoints=("192.0.2.1:1",), net_info=NetInfo(preferred_derp=900))
        first, second = await two.next(), await two.next()
        assert first.peers_changed_patch == (PeerChange(node_id=1, derp_region=900),)
        assert second.peers_changed_patch == (PeerChange(node_id=1, endpoints=("192.0.2.1:1",)),)


async def test_a_repeated_update_is_no_news() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        await one.report(endpoints=("192.0.2.1:1",))
        await two.next()
        await one.report(endpoints=("192.0.2.1:1",))
        assert await two.is_quiet()


async def test_a_hundred_changes_of_a_busy_node_do_not_pile_up() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        for port in range(1, 101):
            await one.report(endpoints=(f"192.0.2.1:{port}",))
        seen = []
        while not seen or seen[-1] != ("192.0.2.1:100",):
            [patch] = (await two.next()).peers_changed_patch or ()
            seen.append(patch.endpoints)
        assert len(seen) <= 100
        assert await two.is_quiet()


async def test_a_node_that_disconnects_and_returns_in_time_stays_online() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        again = await realm.node(1)
        await again.poll()
        with pytest.raises(EOFError):
            await one.next()
        assert await two.is_quiet()


async def test_an_approved_route_goes_to_everyone_in_one_message_each() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        info = Hostinfo(hostname="node1", os="linux", routable_ips=(ip_network(LAN),))
        await one.report(hostinfo=info)
        assert await two.is_quiet(), "an advertised route is nobody's business yet"
        routes = await realm.coordinator.admin.approve_routes("1", Prefixes(prefixes=(LAN,)))
        assert [(r.prefix, r.approved, r.primary) for r in routes.routes] == [(LAN, True, True)]
        told = await two.next()
        [router] = told.peers_changed or ()
        assert ip_network(LAN) in (router.allowed_ips or ())
        own = await one.next()
        assert own.node is not None
        assert ip_network(LAN) in (own.node.allowed_ips or ())
        await realm.coordinator.admin.publish("1", PublishedAddress(address="192.168.1.9"))
        [router] = (await two.next()).peers_changed or ()
        assert ip_network("192.168.1.9/32") in (router.addresses or ())
        assert await one.is_quiet()


async def test_a_one_shot_request_is_answered_with_the_whole_map() -> None:
    async with running_realm() as realm:
        one, _, _ = await three(realm)
        one.compress = ""
        reply = await one.post("/machine/map", encode(one.map_request()))
        size = int.from_bytes(reply.body[:4], "little")
        message = decode(MapResponse, reply.body[4:])
        assert len(reply.body) == size + 4
        assert [peer.id for peer in message.peers or ()] == [2, 3]


async def test_without_compression_messages_are_plain_json() -> None:
    async with running_realm() as realm:
        node = await realm.node(1, compress="")
        await node.register(await realm.key())
        assert (await node.poll()).node is not None


async def test_keep_alives_come_in_silence_and_are_always_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mapstream, "KEEPALIVE_MIN_S", 0.01)
    monkeypatch.setattr(mapstream, "KEEPALIVE_SPREAD_S", 0.0)
    async with running_realm() as realm:
        node = await realm.joined(1)
        frames = [await node._take(int.from_bytes(await node._take(4), "little")) for _ in "abc"]
        assert len(set(frames)) == 1


async def test_an_unknown_client_or_one_too_old_gets_a_clear_status() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        assert (await node.report()).status == 404
        assert (await node.report(version=50)).status == 400
        assert (await node.post("/machine/map", b"nonsense")).status == 400
        assert (await node.post("/machine/register", b"{}")).status == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/machine/set-dns", 501),
        ("/machine/id-token", 501),
        ("/machine/feature/query", 501),
        ("/machine/update-health", 204),
        ("/machine/audit-log", 204),
        ("/machine/tka/init/begin", 404),
        ("/anything", 404),
    ],
)
async def test_what_stock_clients_try_besides_gets_a_small_answer(path: str, status: int) -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        assert (await node.post(path, b"{}")).status == status


async def test_a_ping_goes_down_the_stream_and_its_answer_comes_back() -> None:
    async with running_realm() as realm, asyncio.TaskGroup() as tasks:
        one, two, _ = await three(realm)
        admin = realm.coordinator.admin
        asked = tasks.create_task(admin.ping("node1", PingNode(address="node2")))
        ping = (await one.next()).ping_request
        assert ping is not None
        assert (ping.types, ping.ip, ping.url_is_noise) == ("disco", "100.64.0.2", True)
        path = ping.url.removeprefix("https://203.0.113.5")
        answer = b'{"Type":"disco","LatencySeconds":0.5,"Endpoint":"192.0.2.1:9"}'
        assert (await two.post(path, answer)).status == 404, "not from another machine"
        assert (await one.post(path, answer)).status == 200
        assert (await asked).endpoint == "192.0.2.1:9"
        assert (await one.post(path, answer)).status == 404, "only once"


async def test_a_node_that_is_away_cannot_be_asked() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        await node.register(await realm.key())
        with pytest.raises(RefusedError, match="is not connected"):
            await realm.coordinator.admin.ping("1", PingNode(address="100.64.0.1"))


async def test_a_question_without_an_answer_ends() -> None:
    async with running_realm() as realm:
        await realm.joined(1)
        request = PingNode(address="100.64.0.9", timeout_s=0.01)
        with pytest.raises(RefusedError, match="No answer within"):
            await realm.coordinator.admin.ping("1", request)


async def test_a_node_serves_a_request_of_ours() -> None:
    async with running_realm() as realm, asyncio.TaskGroup() as tasks:
        one = await realm.joined(1)
        admin = realm.coordinator.admin
        asked = tasks.create_task(admin.ask_node("1", AskNode(path="/debug/netmap")))
        ping = (await one.next()).ping_request
        assert ping is not None
        assert ping.types == "c2n"
        reply = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{"a":1}'
        await one.post(ping.url.removeprefix("https://203.0.113.5"), reply)
        answer = await asked
        assert (answer.status, answer.body) == (200, {"a": 1})


async def test_another_policy_reaches_every_connected_node() -> None:
    async with running_realm() as realm:
        one, two, _ = await three(realm)
        await realm.coordinator.state.use_policy(policy_of('{"acls": []}'))
        told = await one.next()
        assert told.peers_removed == (2, 3)
        assert told.packet_filters == {"base": ()}
        await drain(two)
        rule = '{"action": "accept", "src": ["100.64.0.1"], "dst": ["100.64.0.2:22"]}'
        await realm.coordinator.state.use_policy(policy_of(f'{{"acls": [{rule}]}}'))
        assert [peer.id for peer in (await one.next()).peers_changed or ()] == [2]
        told = await two.next()
        assert [peer.id for peer in told.peers_changed or ()] == [1]
        assert told.packet_filters is not None
        [allowed] = told.packet_filters["base"] or ()
        assert allowed.src_ips == ("100.64.0.1",)
