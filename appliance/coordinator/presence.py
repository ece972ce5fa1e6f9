"""Who is online: a node with a map stream, or that had one a moment ago."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from appliance.coordinator.model import Snapshot
from appliance.coordinator.polls import Poll, Polls
from appliance.coordinator.state import State

_log = logging.getLogger(__name__)

OFFLINE_AFTER_S: Final = 10.0
"""A stock client that changes networks is back within it; the same as Headscale's."""

OFFLINE_AFTER_START_S: Final = 60.0
"""After a start of ours: stock clients come back within their back-off of 30 s."""


class Presence:
    """Opens and closes polls, and keeps the nodes' online marks in step."""

    def __init__(
        self, state: State, polls: Polls, *, offline_after_s: float = OFFLINE_AFTER_S
    ) -> None:
        self._state = state
        self._polls = polls
        self._offline_after_s = offline_after_s
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Give the nodes that were online when we stopped some time to come back."""
        for node in self._state.snapshot.nodes.values():
            if node.online:
                self._arm(node.id, OFFLINE_AFTER_START_S)

    def stop(self) -> None:
        """Forget all timers; who is online now counts as online at the next start."""
        for timer in self._timers.values():
            timer.cancel()

    async def open(self, node_id: int) -> Poll:
        """Open a poll; the node is online from now on."""
        timer = self._timers.pop(node_id, None)
        if timer is not None:
            timer.cancel()
        poll = self._polls.open(node_id)
        self._say(node_id, online=True)
        await self._state.report(lambda snapshot, now: (mark_online(snapshot, node_id, now), None))
        return poll

    def close(self, poll: Poll) -> None:
        """Close a poll; unless the node comes back soon, it is offline."""
        if self._polls.close(poll):
            self._arm(poll.node_id, self._offline_after_s)

    def _arm(self, node_id: int, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timers[node_id] = loop.call_later(delay_s, self._gone, node_id)

    def _gone(self, node_id: int) -> None:
        self._timers.pop(node_id, None)
        if self._polls.of_node(node_id) is None:
            self._say(node_id, online=False)
            self._state.post(lambda snapshot, now: (mark_offline(snapshot, node_id, now), None))

    def _say(self, node_id: int, *, online: bool) -> None:
        node = self._state.snapshot.nodes.get(node_id)
        if node is not None and node.online != online:
            _log.info("%s is %s.", node.name, "online" if online else "offline")


def mark_online(snapshot: Snapshot, node_id: int, now: datetime) -> Snapshot:
    """Note that a node has a map stream."""
    return _mark(snapshot, node_id, now, online=True)


def mark_offline(snapshot: Snapshot, node_id: int, now: datetime) -> Snapshot:
    """Note that a node has gone."""
    return _mark(snapshot, node_id, now, online=False)


def _mark(snapshot: Snapshot, node_id: int, now: datetime, *, online: bool) -> Snapshot:
    node = snapshot.nodes.get(node_id)
    if node_id in snapshot.silent:  # a new stream is an answer; who is away is not asked
        snapshot = replace(snapshot, silent=snapshot.silent - {node_id})
    if node is None or node.online == online:
        return snapshot
    seen = now.replace(microsecond=0)
    return snapshot.with_nodes([replace(node, online=online, last_seen=seen)])
