"""Watches the routers that another one could replace, so that a dead one is replaced soon.

A router that loses its power says nothing, and TCP takes a minute to notice. So as long as a route
has a second router that is online, its carrier is asked down its map stream to answer with an empty
request (what stock clients do for a ping without a type). Who misses two in a row is *silent*: the
route moves. It stays moved when the router is heard again; only the next loss moves it back.

Source: the ping of tailscale control/controlclient/direct.go, 2026-08; the interval is Headscale's.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Final

from appliance.coordinator.errors import RefusedError
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.pings import Pings
from appliance.coordinator.routes import EXIT_ROUTES, granted
from appliance.coordinator.state import State

_log = logging.getLogger(__name__)

INTERVAL_S: Final = 10.0
ANSWER_S: Final = 4.0
"""A phone's link may sleep for two; a router is at home on a cable."""

MAX_AT_ONCE: Final = 16
"""A quarter of the questions that may be open, so that admins can still ask theirs."""


class RouterWatch:
    """Asks now and then; marks who is silent, and who is heard again."""

    def __init__(
        self,
        state: State,
        pings: Pings,
        *,
        interval_s: float = INTERVAL_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._state = state
        self._pings = pings
        self._interval_s = interval_s
        self._answer_s = answer_s
        self._slots = asyncio.Semaphore(MAX_AT_ONCE)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.turn()

    async def turn(self) -> None:
        """Ask every router that matters, all at once."""
        snapshot = self._state.snapshot
        watched = replaceable(snapshot)
        if not watched and not snapshot.silent:
            return
        async with asyncio.TaskGroup() as tasks:
            answers = {
                node.id: tasks.create_task(self._answers(node), name=f"probe of {node.name}")
                for node in watched
            }
        silent = frozenset(n for n, answer in answers.items() if not answer.result())
        self._say(snapshot, silent)
        if silent != snapshot.silent:
            await self._state.report(lambda now_, _now: (replace(now_, silent=silent), None))

    async def _answers(self, node: NodeRecord) -> bool:
        """Ask twice; a node without a stream just now is presence's affair."""
        async with self._slots:
            for _ in range(2):
                if not self._pings.is_connected(node.id):
                    return True
                with suppress(RefusedError):
                    await self._pings.greet(node.id, node.machine_key, self._answer_s)
                    return True
        return False

    def _say(self, snapshot: Snapshot, silent: frozenset[int]) -> None:
        for node_id in silent - snapshot.silent:
            name = snapshot.nodes[node_id].name
            _log.warning("%s does not answer: its routes move to another router.", name)
        for node_id in snapshot.silent - silent:
            if node_id in snapshot.nodes:
                _log.info("%s answers again.", snapshot.nodes[node_id].name)


def replaceable(snapshot: Snapshot) -> list[NodeRecord]:
    """Return the online carriers of routes that another online router may carry; and the silent."""
    ready: dict[object, int] = {}
    for node in snapshot.nodes.values():
        if node.online and node.approved_routes and node.id not in snapshot.expired:
            for prefix in granted(node) - EXIT_ROUTES:
                ready[prefix] = ready.get(prefix, 0) + 1
    carriers = {n for prefix, n in snapshot.primaries.items() if ready.get(prefix, 0) > 1}
    wanted = (carriers | snapshot.silent) & snapshot.nodes.keys()
    return [snapshot.nodes[n] for n in sorted(wanted) if snapshot.nodes[n].online]
