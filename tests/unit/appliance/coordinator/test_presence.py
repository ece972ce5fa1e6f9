import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.coordinator import presence as presence_module
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.polls import Polls
from appliance.coordinator.presence import Presence, mark_offline, mark_online
from appliance.coordinator.state import State
from tests.support.snapshots import LATER, NOW, node, snapshot, view_of


class NoStore:
    def save(self, snapshot: Snapshot) -> None:
        pass


@asynccontextmanager
async def present(
    *nodes: NodeRecord, offline_after_s: float = 0.01
) -> AsyncIterator[tuple[Presence, State]]:
    state = State(NoStore(), view_of(*nodes), lambda: LATER)
    presence = Presence(state, Polls(), offline_after_s=offline_after_s)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(state.run())
        try:
            yield presence, state
        finally:
            presence.stop()
            task.cancel()


async def changed(state: State) -> None:
    heard = asyncio.Event()
    state.subscribe(lambda _view, _change: heard.set())
    async with asyncio.timeout(2):
        await heard.wait()


async def test_a_node_with_a_stream_is_online() -> None:
    async with present(node(1, online=False)) as (presence, state):
        await presence.open(1)
        assert state.snapshot.nodes[1].online
        assert state.snapshot.nodes[1].last_seen == LATER


async def test_a_node_that_leaves_is_offline_after_a_while() -> None:
    async with present(node(1)) as (presence, state):
        poll = await presence.open(1)
        presence.close(poll)
        assert state.snapshot.nodes[1].online
        await changed(state)
        assert not state.snapshot.nodes[1].online


async def test_a_node_that_comes_back_in_time_was_never_away() -> None:
    async with present(node(1)) as (presence, state):
        heard: list[object] = []
        state.subscribe(lambda _view, change: heard.append(change))
        presence.close(await presence.open(1))
        await presence.open(1)
        await asyncio.sleep(0.03)
        assert state.snapshot.nodes[1].online
        assert heard == []


async def test_an_older_stream_that_ends_late_does_not_matter() -> None:
    async with present(node(1)) as (presence, state):
        older = await presence.open(1)
        await presence.open(1)
        presence.close(older)
        await asyncio.sleep(0.03)
        assert state.snapshot.nodes[1].online


async def test_after_a_start_nodes_have_time_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_module, "OFFLINE_AFTER_START_S", 0.01)
    async with present(node(1), node(2), node(3, online=False)) as (presence, state):
        presence.start()
        await presence.open(2)
        await changed(state)
        assert not state.snapshot.nodes[1].online
        assert state.snapshot.nodes[2].online


def test_marks_change_nothing_when_they_are_right_already() -> None:
    state = snapshot(node(1), node(2, online=False))
    assert mark_online(state, 1, NOW) is state
    assert mark_offline(state, 2, NOW) is state
    assert mark_online(state, 99, NOW) is state
    assert mark_offline(state, 1, LATER).nodes[1].last_seen == LATER
