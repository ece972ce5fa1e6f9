"""Nodes join, log out and come back, as stock clients do, over Noise and HTTP/2 in memory.

node ── memory stream ── HTTP/1.1 upgrade ── Noise ── HTTP/2 ── coordinator
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from appliance.adminapi.types import ApproveNode, EditNode, ExpireNode
from appliance.coordinator.errors import NotFoundError
from appliance.protocol.tailcfg import encode
from tests.support.tailnet import drain, running_realm

LONG_AGO = datetime.fromtimestamp(123, UTC)


async def test_a_node_joins_with_a_pre_auth_key() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        response = await node.register(await realm.key())
        assert response.user is not None
        assert response.user.id == 1
        assert response.login is not None
        assert response.login.login_name == "alice"
        assert response.machine_authorized
        assert (response.auth_url, response.error, response.node_key_expired) == ("", "", False)
        first = await node.poll()
        assert first.node is not None
        assert first.node.name == "node1.mesh.test."
        assert first.peers == ()


async def test_a_one_off_key_admits_one_of_a_hundred_who_race_for_it() -> None:
    async with running_realm() as realm:
        key = await realm.key()
        nodes = [await realm.node(number) for number in range(1, 101)]
        answers = await asyncio.gather(*(node.register(key) for node in nodes))
        assert sum(not answer.error for answer in answers) == 1
        assert len(realm.coordinator.state.snapshot.nodes) == 1


async def test_a_reusable_key_admits_many() -> None:
    async with running_realm() as realm:
        key = await realm.key(reusable=True)
        for number in (1, 2, 3):
            node = await realm.node(number)
            assert not (await node.register(key)).error
        names = {node.name for node in realm.coordinator.state.snapshot.nodes.values()}
        assert names == {"node1", "node2", "node3"}


async def test_a_restarted_client_needs_no_key() -> None:
    async with running_realm() as realm:
        first = await realm.node(1)
        key = await realm.key()
        await first.register(key)
        again = await realm.node(1)
        without, with_used_key = await again.register(), await again.register(key)
        assert without == with_used_key
        assert (without.auth_url, without.error) == ("", "")


@pytest.mark.parametrize("spoil", ["expired", "revoked", "used", "wrong"])
async def test_a_key_that_is_no_good_says_why(spoil: str) -> None:
    async with running_realm() as realm:
        key = await realm.key(lifetime_s=60)
        if spoil == "expired":
            realm.now[0] += timedelta(minutes=2)
        elif spoil == "revoked":
            await realm.coordinator.admin.revoke_preauth_key(key)
        elif spoil == "used":
            await (await realm.node(2)).register(key)
        else:
            key = key[:-4] + "0000"
        node = await realm.node(1)
        error = (await node.register(key)).error
        assert {"wrong": "not known"}.get(spoil, spoil) in error
        assert (await node.report()).status == 404


async def test_somebody_elses_node_key_is_refused_and_its_owner_unharmed() -> None:
    async with running_realm() as realm:
        victim = await realm.joined(1)
        thief = await realm.node(2)
        for fields in ({}, {"auth_key": await realm.key()}, {"expiry": LONG_AGO}):
            answer = await thief.register(**{"node_key": victim.key, **fields})
            assert "belongs to another machine" in answer.error
        for stream in (True, False):
            stolen = thief.map_request(node_key=victim.key, stream=stream, omit_peers=not stream)
            assert (await thief.post("/machine/map", encode(stolen))).status == 404
        assert await victim.is_quiet()
        assert not (await victim.register()).node_key_expired


async def test_a_device_waits_until_an_admin_lets_it_in() -> None:
    async with running_realm() as realm, asyncio.TaskGroup() as tasks:
        node = await realm.node(1)
        asked = await node.register()
        assert asked.auth_url.startswith("https://203.0.113.5/register/")
        assert (await node.register()).auth_url == asked.auth_url
        page = await realm.get(asked.auth_url.removeprefix("https://203.0.113.5"))
        assert b"latchkey admin nodes register" in page.body
        waiting = tasks.create_task(node.register(followup=asked.auth_url))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        [entry] = (await realm.coordinator.admin.pending()).pending
        assert entry.hostname == "node1"
        info = await realm.coordinator.admin.approve_pending(entry.id, ApproveNode(user="alice"))
        assert info.user == "alice"
        answer = await waiting
        assert (answer.auth_url, answer.error) == ("", "")
        assert (await node.poll()).node is not None
        assert (await realm.coordinator.admin.pending()).pending == ()


async def test_a_device_that_is_turned_away_is_told_so() -> None:
    async with running_realm() as realm, asyncio.TaskGroup() as tasks:
        node = await realm.node(1)
        asked = await node.register()
        waiting = tasks.create_task(node.register(followup=asked.auth_url))
        await asyncio.sleep(0.02)
        await realm.coordinator.admin.reject_pending(asked.auth_url.rpartition("/")[2])
        assert "turned this device away" in (await waiting).error
        with pytest.raises(NotFoundError):
            await realm.coordinator.admin.reject_pending("gone")
        # It does not stand among those that wait a moment later; others may.
        assert "turned this device away" in (await node.register()).error
        assert (await realm.coordinator.admin.pending()).pending == ()
        assert (await (await realm.node(2)).register()).auth_url


async def test_a_followup_from_before_a_restart_gets_a_new_page() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        answer = await node.register(followup="https://203.0.113.5/register/000000000000")
        assert answer.auth_url
        assert not answer.auth_url.endswith("000000000000")


async def test_another_machine_cannot_wait_on_somebodys_page() -> None:
    async with running_realm() as realm:
        asked = await (await realm.node(1)).register()
        other = await (await realm.node(2)).register(followup=asked.auth_url)
        assert other.auth_url
        assert other.auth_url != asked.auth_url


async def test_logging_out_ends_the_key_and_logging_in_again_keeps_the_node() -> None:
    async with running_realm() as realm:
        node, peer = await realm.joined(1), await realm.joined(2)
        assert node.self_node is not None
        await drain(node)
        assert (await node.register(expiry=LONG_AGO)).node_key_expired
        ended = await node.next()
        assert ended.node is not None
        assert ended.node.key_expiry is not None
        assert ended.peers_removed == (2,)
        gone = await peer.next()
        assert [changed.expired for changed in gone.peers_changed or ()] == [True]
        assert (await node.register()).node_key_expired
        old_key, node.node_seed = node.key, 1
        await node.register(await realm.key(), old_node_key=old_key)
        again = await node.poll()
        assert again.node is not None
        assert again.node.id == node.self_node.id
        assert again.node.addresses == node.self_node.addresses
        back = await peer.next()
        assert [changed.key for changed in back.peers_changed or ()] == [node.key]


async def test_an_ephemeral_node_vanishes_when_it_logs_out() -> None:
    async with running_realm() as realm:
        peer = await realm.joined(1)
        node = await realm.node(2)
        await node.register(await realm.key(ephemeral=True))
        assert [p.id for p in (await peer.next()).peers_changed or ()] == [2]
        await node.register(expiry=LONG_AGO)
        assert (await peer.next()).peers_removed == (2,)


async def test_an_expired_node_is_asked_for_a_new_key_and_keeps_its_address() -> None:
    async with running_realm() as realm:
        node = await realm.joined(1)
        await realm.coordinator.admin.expire_node("node1", ExpireNode())
        told = await node.next()
        assert told.node is not None
        assert told.node.key_expiry == realm.now[0]
        assert (await node.register()).node_key_expired
        node.node_seed = 1
        await node.register(await realm.key())
        assert node.self_node is not None
        info = await realm.coordinator.admin.node("node1")
        assert [f"{a}/32" for a in info.addresses[:1]] == [str(node.self_node.addresses[0])]
        assert not info.expired


async def test_a_deleted_node_is_logged_out_and_unknown_afterwards() -> None:
    async with running_realm() as realm:
        node = await realm.joined(1)
        await realm.coordinator.admin.delete_node("1")
        told = await node.next()
        assert told.node is not None
        assert told.node.key_expiry is not None
        with pytest.raises(EOFError):
            await node.next()
        assert (await node.report()).status == 404


async def test_a_tagged_node_belongs_to_its_tags() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        answer = await node.register(await realm.key(tags=("tag:server",)))
        assert answer.login is not None
        assert answer.login.login_name == "tagged-devices"
        first = await node.poll()
        assert first.node is not None
        assert first.node.tags == ("tag:server",)


async def test_an_admins_name_stays_when_the_device_is_renamed() -> None:
    async with running_realm() as realm:
        node = await realm.joined(1)
        await realm.coordinator.admin.edit_node("1", EditNode(name="chosen"))
        told = await node.next()
        assert told.node is not None
        assert told.node.name == "chosen.mesh.test."
        node.hostname = "other"
        await node.report()
        assert (await realm.coordinator.admin.node("1")).name == "chosen"
