"""The coordinator without its sockets: its parts, joined.

Whoever has a connection gives it to ``serve_stream``; ``service`` listens and does that.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from appliance.aio.http1 import serve_http1
from appliance.aio.stream import Stream
from appliance.coordinator.admin import Admin
from appliance.coordinator.autoapprove import Ourselves
from appliance.coordinator.derpmap import tailnet_of
from appliance.coordinator.front import Front, RelaySite
from appliance.coordinator.housekeeping import Housekeeping
from appliance.coordinator.mapper.view import first_view
from appliance.coordinator.mapstream import MapStreams
from appliance.coordinator.model import Snapshot
from appliance.coordinator.noiseapi import NoiseApi, limits_of_nodes, limits_of_strangers
from appliance.coordinator.outcasts import Outcasts
from appliance.coordinator.pings import Pings
from appliance.coordinator.policies import Policies, stored_policy
from appliance.coordinator.policy.load import policy_of
from appliance.coordinator.polls import Polls
from appliance.coordinator.presence import Presence
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.registration import Terms
from appliance.coordinator.resolve import own_lans
from appliance.coordinator.settings import Settings, literal_address
from appliance.coordinator.standby import RouterWatch
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
        policy_text: str | None = None,
        relay_site: RelaySite | None = None,
        relay_pin: str = "",
    ) -> None:
        literal = literal_address(settings.host)
        own = () if literal is None else (literal,)
        policy = stored_policy(snapshot) if policy_text is None else policy_of(policy_text)
        view = first_view(settle(snapshot, clock()), tailnet_of(settings, relay_pin), policy)
        self.state = State(store, view, clock, Ourselves(own, own_lans))
        self._polls = Polls()
        self.state.subscribe(self._polls.on_change)
        self._presence = Presence(self.state, self._polls)
        self._housekeeping = Housekeeping(self.state, settings.ephemeral_timeout_s)
        terms = Terms(settings.pool, settings.key_lifetime)
        registrar = Registrar(self.state, terms, settings.url, clock)
        pings = Pings(self._polls, settings.host)
        self._router_watch = RouterWatch(self.state, pings)
        self._pings = pings
        noise = NoiseApi(
            self.state,
            registrar,
            MapStreams(self.state, self._presence, clock),
            pings,
            limits_of_nodes(),
            limits_of_strangers(),
        )
        self._front = Front(private_key, self.state, registrar, noise.serve, relay_site)
        self.policies = Policies(self.state, settings.host, settings.policy_file, policy_text or "")
        self.admin = Admin(
            settings, self.state, registrar, self._polls, pings, self.policies, clock
        )

    async def run(self) -> None:
        """Keep the state until cancelled."""
        self._presence.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.state.run(), name="state")
                tasks.create_task(self._housekeeping.run(), name="housekeeping")
                tasks.create_task(self._router_watch.run(), name="router watch")
                tasks.create_task(self.policies.warn(), name="policy check")
        finally:
            self._presence.stop()

    async def serve_stream(self, stream: Stream) -> None:
        """Serve one connection until it ends."""
        await serve_http1(stream, self._front.handle)

    def on_outcast(self, expel: Callable[[NodePublic], None]) -> None:
        """Call this for each node key that ``admit`` no longer admits, as soon as that is so."""
        self.state.subscribe(Outcasts(self.state.snapshot, expel).on_change)

    async def admit(self, key: NodePublic, _address: IPAddress | None) -> bool:
        """Whether a node may use the relay."""
        return self._front.knows(key)
