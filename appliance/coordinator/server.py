"""The coordinator without its sockets: its parts, joined.

Whoever has a connection gives it to ``serve_stream``; ``service`` listens and does that.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from appliance.aio.http1 import serve_http1
from appliance.aio.stream import Stream
from appliance.coordinator.admin import Admin
from appliance.coordinator.derpmap import tailnet_of
from appliance.coordinator.front import Front, RelaySite
from appliance.coordinator.housekeeping import Housekeeping
from appliance.coordinator.mapper.view import first_view
from appliance.coordinator.mapstream import MapStreams
from appliance.coordinator.model import Snapshot
from appliance.coordinator.noiseapi import NoiseApi, limits_of_nodes, limits_of_strangers
from appliance.coordinator.pings import Pings
from appliance.coordinator.policy.engine import AllowAll, Policy
from appliance.coordinator.polls import Polls
from appliance.coordinator.presence import Presence
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.registration import Terms
from appliance.coordinator.settings import Settings
from appliance.coordinator.state import State, Store, settle
from appliance.protocol.addresses import IPAddress
from appliance.protocol.keys import MachinePrivate, NodePublic

Clock = Callable[[], datetime]


class Coordinator:
    """One tailnet's coordination server."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        snapshot: Snapshot,
        private_key: MachinePrivate,
        clock: Clock,
        policy: Policy | None = None,
        relay_site: RelaySite | None = None,
        relay_pin: str = "",
    ) -> None:
        view = first_view(
            settle(snapshot, clock()), tailnet_of(settings, relay_pin), policy or AllowAll()
        )
        self.state = State(store, view, clock)
        self._polls = Polls()
        self.state.subscribe(self._polls.on_change)
        self._presence = Presence(self.state, self._polls)
        self._housekeeping = Housekeeping(self.state, settings.ephemeral_timeout_s)
        terms = Terms(settings.pool, settings.key_lifetime)
        registrar = Registrar(self.state, terms, settings.url, clock)
        pings = Pings(self._polls, settings.host)
        noise = NoiseApi(
            self.state,
            registrar,
            MapStreams(self.state, self._presence, clock),
            pings,
            limits_of_nodes(),
            limits_of_strangers(),
        )
        self._front = Front(private_key, self.state, registrar, noise.serve, relay_site)
        self.admin = Admin(settings, self.state, registrar, self._polls, pings, clock)

    async def run(self) -> None:
        """Keep the state until cancelled."""
        self._presence.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.state.run(), name="state")
                tasks.create_task(self._housekeeping.run(), name="housekeeping")
        finally:
            self._presence.stop()

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one connection until it ends."""
        await serve_http1(stream, self._front.handle)

    async def use_policy(self, policy: Policy) -> None:
        """Put another policy in force; every connected node hears of it."""
        await self.state.replace_view(lambda view: replace(view, policy=policy))

    async def admit(self, key: NodePublic, _address: IPAddress | None) -> bool:
        """Whether a node may use the relay."""
        return self._front.knows(key)
