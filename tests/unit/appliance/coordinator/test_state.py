import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from appliance.coordinator import state as state_module
from appliance.coordinator.change import Change
from appliance.coordinator.errors import CoordinatorError, RefusedError
from appliance.coordinator.mapper.view import View
from appliance.coordinator.model import Snapshot
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.state import State, settle
from tests.support.snapshots import LATER, NOW, node, router, snapshot, view_of


class Memory:
    """A store that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.saved: list[Snapshot] = []
        self.broken = False
        self.has_saved = threading.Event()

    def save(self, snapshot: Snapshot) -> None:
        if self.broken:
            raise CoordinatorError("The state could not be written: disk full.")
        self.saved.append(snapshot)
        self.has_saved.set()


@asynccontextmanager
async def running(
    view: View, store: Memory, clock: Callable[[], datetime] = lambda: NOW
) -> AsyncIterator[State]:
    state = State(store, view, clock)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(state.run())
        try:
            yield state
        finally:
            task.cancel()


def rename(number: int, name: str):
    def mutation(found: Snapshot, _now: datetime):
        return found.with_nodes([replace(found.nodes[number], name=name)]), name

    return mutation


def refuse(_found: Snapshot, _now: datetime):
    raise RefusedError("no")


async def test_a_write_is_stored_before_it_is_confirmed() -> None:
    store = Memory()
    async with running(view_of(node(1)), store) as state:
        assert await state.write(rename(1, "new")) == "new"
        assert store.saved == [state.snapshot]
        assert state.snapshot.nodes[1].name == "new"
        assert state.view.peers[1].name == "new.mesh.test."


async def test_writes_that_come_together_share_a_transaction() -> None:
    store = Memory()
    async with running(view_of(node(1), node(2), node(3)), store) as state:
        await asyncio.gather(*(state.write(rename(n, f"new{n}")) for n in (1, 2, 3)))
        assert len(store.saved) == 1


async def test_a_refusal_fails_only_its_own_write() -> None:
    store = Memory()
    async with running(view_of(node(1)), store) as state:
        outcomes = await asyncio.gather(
            state.write(rename(1, "a")), state.write(refuse), return_exceptions=True
        )
        assert outcomes[0] == "a"
        assert isinstance(outcomes[1], RefusedError)
        assert state.snapshot.nodes[1].name == "a"


async def test_a_refusal_alone_stores_nothing() -> None:
    store = Memory()
    async with running(view_of(node(1)), store) as state:
        with pytest.raises(RefusedError):
            await state.write(refuse)
        assert store.saved == []


async def test_a_report_is_shown_at_once_and_stored_with_the_next_write() -> None:
    store = Memory()
    async with running(view_of(node(1), node(2)), store) as state:
        await state.report(rename(1, "a"))
        assert state.snapshot.nodes[1].name == "a"
        assert store.saved == []
        await state.write(rename(2, "b"))
        assert store.saved[-1].nodes[1].name == "a"


async def test_a_report_is_stored_soon_without_any_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "FLUSH_AFTER_S", 0.02)
    store = Memory()
    async with running(view_of(node(1)), store) as state:
        await state.report(rename(1, "a"))
        assert await asyncio.to_thread(store.has_saved.wait, 2)
        assert store.saved[-1].nodes[1].name == "a"


async def test_what_was_only_reported_is_stored_at_the_end() -> None:
    store = Memory()
    async with running(view_of(node(1)), store) as state:
        await state.report(rename(1, "a"))
    assert store.saved[-1].nodes[1].name == "a"


async def test_a_full_disk_fails_writes_but_not_reports(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    store = Memory()
    async with running(view_of(node(1), node(2)), store) as state:
        store.broken = True
        written, reported = await asyncio.gather(
            state.write(rename(1, "a")), state.report(rename(2, "b")), return_exceptions=True
        )
        assert isinstance(written, CoordinatorError)
        assert reported == "b"
        assert state.snapshot.nodes[1].name == "node1"
        assert state.snapshot.nodes[2].name == "b"
        with pytest.raises(CoordinatorError):
            await state.write(rename(1, "a"))
        store.broken = False
        await state.write(rename(1, "a"))
        assert store.saved[-1].nodes[2].name == "b"
    assert caplog.text.count("nothing new is admitted") == 1
    assert caplog.text.count("stored again") == 1


async def test_a_posted_mutation_is_applied_without_anyone_waiting() -> None:
    async with running(view_of(node(1)), Memory()) as state:
        state.post(lambda found, now: (rename(1, "a")(found, now)[0], None))
        await state.report(lambda found, _now: (found, None))
        assert state.snapshot.nodes[1].name == "a"


async def test_listeners_hear_what_changed() -> None:
    heard: list[Change] = []
    async with running(view_of(node(1), node(2)), Memory()) as state:
        state.subscribe(lambda _view, change: heard.append(change))
        await state.report(rename(2, "b"))
        await state.report(lambda found, _now: (found, None))
        await state.use_policy(AllowAll())
    assert heard == [Change(frozenset({2})), Change(everyone=True)]


async def test_a_key_expires_by_itself() -> None:
    heard = asyncio.Event()
    times = iter([NOW, NOW])

    async with running(
        view_of(node(1, key_expiry=NOW + timedelta(milliseconds=20))),
        Memory(),
        lambda: next(times, LATER),
    ) as state:
        state.subscribe(lambda _view, _change: heard.set())
        await state.report(lambda found, _now: (found, None))
        async with asyncio.timeout(2):
            await heard.wait()
        assert state.snapshot.expired == {1}


async def test_a_caller_who_gave_up_gets_nothing_done() -> None:
    store = Memory()
    state = State(store, view_of(node(1)), lambda: NOW)
    async with asyncio.TaskGroup() as tasks:
        caller = tasks.create_task(state.write(rename(1, "a")))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        runner = tasks.create_task(state.run())
        await state.report(lambda found, _now: (found, None))
        runner.cancel()
    assert state.snapshot.nodes[1].name == "node1"


def test_settling_twice_changes_nothing() -> None:
    settled = settle(snapshot(router(1, "10.0.0.0/8"), node(2, key_expiry=NOW)), NOW)
    assert settled.expired == {2}
    assert settle(settled, NOW) is settled
