"""The one place where the coordinator's state changes.

Writers hand in a function from snapshot to snapshot. One task applies what is queued, stores it in
one transaction, and only then shows the new snapshot: nobody ever acts on, or confirms, something
that a power cut could take back. Queued writes share a transaction, so a hundred nodes that
register at once cost a few disk flushes.

What a node reports about itself again and again (endpoints, being online) is not worth a disk
flush each: it is shown at once and stored with the next write, at the latest after two seconds.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from appliance.coordinator.autoapprove import Ourselves, approve_everything, approve_news
from appliance.coordinator.change import Change, between
from appliance.coordinator.errors import CoordinatorError, RefusedError
from appliance.coordinator.mapper.view import View, next_view, with_policy
from appliance.coordinator.model import Snapshot
from appliance.coordinator.policy.engine import Policy
from appliance.coordinator.routes import elect_primaries

_log = logging.getLogger(__name__)

T = TypeVar("T")
Mutation = Callable[[Snapshot, datetime], tuple[Snapshot, T]]
Listener = Callable[[View, Change], None]

FLUSH_AFTER_S: Final = 2.0
"""How long a report may stay in memory only; a node repeats it when it reconnects anyway."""


class Store(Protocol):
    """Where snapshots are kept; called from one thread at a time, never the event loop's."""

    def save(self, snapshot: Snapshot) -> None:
        """Store the snapshot; raise ``CoordinatorError`` and change nothing otherwise."""


@dataclass(slots=True)
class _Write:
    mutation: Mutation[Any]
    durable: bool
    outcome: asyncio.Future[Any] | None
    """``None``: nobody waits."""


def settle(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Bring what follows from the records up to date: expired keys, who carries which route."""
    expired = frozenset(n for n, node in snapshot.nodes.items() if node.expires_by(now))
    if expired != snapshot.expired:
        snapshot = replace(snapshot, expired=expired)
    primaries = elect_primaries(snapshot)
    if primaries is not snapshot.primaries:
        snapshot = replace(snapshot, primaries=primaries)
    return snapshot


class State:
    """Holds the present view; ``run`` must be running for writes to happen."""

    def __init__(
        self,
        store: Store,
        view: View,
        clock: Callable[[], datetime],
        ourselves: Ourselves | None = None,
    ) -> None:
        """Start with a view, and where nodes are known to dial us."""
        self.ourselves = ourselves or Ourselves()
        """Elsewhere no route that leads there is approved by itself; may be set at any time."""
        self._store = store
        self._clock = clock
        self._view = view
        self._queue: asyncio.Queue[_Write] = asyncio.Queue()
        self._listeners: list[Listener] = []
        self._unsaved_since: float | None = None
        self._is_failing = False

    @property
    def view(self) -> View:
        """What is true now."""
        return self._view

    @property
    def snapshot(self) -> Snapshot:
        """The records as they are now."""
        return self._view.snapshot

    def subscribe(self, listener: Listener) -> None:
        """Call this on each change, with the new view; it must be quick."""
        self._listeners.append(listener)

    async def write(self, mutation: Mutation[T]) -> T:
        """Apply a mutation; it is on the disk when this returns. A refusal changes nothing."""
        return await self._enqueue(mutation, durable=True)

    async def report(self, mutation: Mutation[T]) -> T:
        """Apply a mutation that may be lost in a power cut."""
        return await self._enqueue(mutation, durable=False)

    def post(self, mutation: Mutation[None]) -> None:
        """Queue a mutation that may be lost, without waiting for it."""
        self._queue.put_nowait(_Write(mutation, durable=False, outcome=None))

    async def use_policy(self, policy: Policy) -> None:
        """Put another policy in force and tell everyone; approve what it approves by itself."""
        self._show(with_policy(self._view, policy), Change(everyone=True))
        approvers = policy.said.approvers
        if approvers:
            await self.report(
                lambda snapshot, _now: (
                    approve_everything(snapshot, approvers, self.ourselves),
                    None,
                )
            )

    async def run(self) -> None:
        """Apply writes until cancelled; then store what is not stored yet."""
        with ThreadPoolExecutor(1, thread_name_prefix="latchkey-storage") as executor:
            try:
                while True:
                    await self._turn(executor)
            finally:
                if self._unsaved_since is not None:
                    executor.submit(self._store.save, self.snapshot).result()

    async def _enqueue(self, mutation: Mutation[T], *, durable: bool) -> T:
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Write(mutation, durable, outcome))
        return await outcome

    async def _turn(self, executor: ThreadPoolExecutor) -> None:
        batch = await self._next_batch()
        now = self._clock()
        snapshot, results = _apply(batch, self.snapshot, now)
        snapshot = self._settle(snapshot, now)
        due = self._is_flush_due() or any(w.durable for w in batch)
        if due and (snapshot is not self.snapshot or self._unsaved_since is not None):
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(executor, self._store.save, snapshot)
            except CoordinatorError as error:
                snapshot, results = self._after_failure(batch, error, now)
            else:
                self._unsaved_since = None
                self._note_stored()
        elif snapshot is not self.snapshot and self._unsaved_since is None:
            self._unsaved_since = asyncio.get_running_loop().time()
        self._show_snapshot(snapshot)
        for write, result in results:
            _resolve(write.outcome, result)

    async def _next_batch(self) -> list[_Write]:
        batch: list[_Write] = []
        try:
            async with asyncio.timeout(self._idle_s()):
                batch.append(await self._queue.get())
        except TimeoutError:
            return batch
        while not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    def _idle_s(self) -> float | None:
        """How long to wait for writes before something must happen without one."""
        waits = []
        if self._unsaved_since is not None:
            age = asyncio.get_running_loop().time() - self._unsaved_since
            waits.append(max(FLUSH_AFTER_S - age, 0.0))
        snapshot = self.snapshot
        expiries = [
            node.key_expiry
            for node in snapshot.nodes.values()
            if node.key_expiry is not None and node.id not in snapshot.expired
        ]
        if expiries:
            # At most an hour, so that a wall clock that was set is noticed.
            left_s = (min(expiries) - self._clock()).total_seconds()
            waits.append(min(max(left_s, 0.0) + 0.01, 3600.0))
        return min(waits, default=None)

    def _is_flush_due(self) -> bool:
        if self._unsaved_since is None:
            return False
        return asyncio.get_running_loop().time() - self._unsaved_since >= FLUSH_AFTER_S

    def _after_failure(
        self, batch: list[_Write], error: CoordinatorError, now: datetime
    ) -> tuple[Snapshot, list[tuple[_Write, Any]]]:
        """Fail what had to be stored; what may be lost is still shown."""
        if not self._is_failing:
            _log.error("%s Nodes stay connected; nothing new is admitted until it works.", error)
        self._is_failing = True
        lost = [(write, error) for write in batch if write.durable]
        snapshot, results = _apply([w for w in batch if not w.durable], self.snapshot, now)
        self._unsaved_since = asyncio.get_running_loop().time()
        return self._settle(snapshot, now), lost + results

    def _settle(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        approvers = self._view.policy.said.approvers
        return settle(approve_news(self.snapshot, snapshot, approvers, self.ourselves), now)

    def _note_stored(self) -> None:
        if self._is_failing:
            _log.info("The state is stored again.")
        self._is_failing = False

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot is self.snapshot:
            return
        change = between(self.snapshot, snapshot)
        self._show(next_view(self._view, snapshot, change), change)

    def _show(self, view: View, change: Change) -> None:
        self._view = view
        if change:
            for listener in self._listeners:
                listener(view, change)


def _apply(
    batch: list[_Write], snapshot: Snapshot, now: datetime
) -> tuple[Snapshot, list[tuple[_Write, Any]]]:
    results: list[tuple[_Write, Any]] = []
    for write in batch:
        if write.outcome is not None and write.outcome.cancelled():
            continue
        try:
            snapshot, result = write.mutation(snapshot, now)
        except RefusedError as refusal:
            results.append((write, refusal))
        else:
            results.append((write, result))
    return snapshot, results


def _resolve(outcome: asyncio.Future[Any] | None, result: object) -> None:
    if outcome is None or outcome.done():
        return
    if isinstance(result, CoordinatorError):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)
