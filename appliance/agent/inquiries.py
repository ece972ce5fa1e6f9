"""What front ends ask about this node, its peers and its routes; nothing here changes a wish.

Some answers cost a look at the machine, a probe or a ping; ``status`` tells what was seen last, and
judges the node's health by it.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from appliance.agent.answers import exit_options, netcheck_report, ping_reply
from appliance.agent.doctor.service import Condition, Prober, ask_dhcp, examine, explain
from appliance.agent.health import HealthFacts, plan_warnings
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import exit_node_of, serves_exit
from appliance.agent.routefacts import RouteKey, key_of, routes_meant
from appliance.agent.session import Session
from appliance.agent.standing import Standing
from appliance.agent.status import Sight, render_status
from appliance.dataplane.errors import DataplaneError
from appliance.exit_status import ExitStatus
from appliance.gateway.errors import GatewayError
from appliance.gateway.profile import Setting
from appliance.health.catalogue import HealthWarning, warn
from appliance.health.tracker import HealthTracker
from appliance.localapi.server import BackendError
from appliance.localapi.types import (
    DoctorReport,
    ExitOptions,
    NetcheckReport,
    PingReply,
    Routes,
    RouteStatus,
    Status,
)
from appliance.protocol.addresses import parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import PingResult

_log = logging.getLogger(__name__)


class Inquiries:
    """Answers from how this node stands and from what is seen of its machine."""

    def __init__(self, standing: Standing) -> None:
        self._standing = standing
        self._rooms = standing.rooms
        self._watch = standing.watch_routes
        self._health = HealthTracker()

    def status(self) -> Status:
        """Tell how things stand."""
        standing = self._standing
        inputs = standing.inputs() if standing.state.logged_in else None
        routes = self._watch.routes(inputs) if inputs is not None else ()
        self._judge_health(inputs, routes)
        sight = Sight(
            state=standing.backend_state(),
            have_node_key=standing.state.logged_in,
            auth_url=standing.auth_url,
            control_online=standing.is_control_online,
            health=self._health.raised,
            routes=routes,
            exit_ipv6=self._exit_ipv6(inputs),
            dataplane=self._rooms.dataplane.kind if standing.session else "",
            underlay=standing.underlay_status(),
            device=self._observe(),
        )
        return render_status(sight, inputs)

    async def ping(self, target: str, timeout_s: float) -> PingReply:
        """Ping a peer by name or address."""
        peer = self._find_peer(target)
        result = await self._connected().ping(peer.key, timeout_s)
        return ping_reply(self._standing.netmap, peer, result)

    async def netcheck(self) -> NetcheckReport:
        """Measure the network now."""
        return netcheck_report(self._standing.netmap, await self._connected().netcheck())

    async def routes(self) -> Routes:
        """Look at every route now, and tell its facts."""
        inputs = await self._looked()
        return Routes(routes=self._watch.routes(inputs)) if inputs is not None else Routes()

    async def probe_routes(self, wanted: str) -> Routes:
        """Probe the routes that hold an address or are this prefix; empty: all."""
        inputs = await self._looked()
        if inputs is None:
            return Routes()
        keys = await self._probe(inputs, wanted)
        routes = self._watch.routes(inputs)
        return Routes(routes=tuple(r for r in routes if key_of(r, inputs) in keys))

    def exit_options(self) -> ExitOptions:
        """Tell who offers to be exit node, the nearest first."""
        inputs = self._standing.inputs()
        if inputs is None:
            return ExitOptions()
        return exit_options(inputs, self._standing.underlay_status(), self._watch.exit_ipv6)

    async def doctor(self, target: str) -> DoctorReport:
        """Examine this node, or the way to a target."""
        standing = self._standing
        inputs = await self._looked()
        self.status()
        condition = Condition(
            inputs=inputs,
            connected=standing.session is not None and standing.is_configured,
            control_online=standing.is_control_online,
            routes=self._watch.routes(inputs) if inputs is not None else (),
            settings=await self._settings_of_host(),
            health=self._health.raised,
            clock_offset=standing.clock_offset() if standing.is_control_online else None,
        )
        if target:
            return await explain(condition, target, Prober(self._ping))
        return examine(condition, await ask_dhcp(inputs))

    def _connected(self) -> Session:
        if self._standing.session is None:
            raise BackendError(ExitStatus.ERROR.code, "Not connected. Run `latchkey up` first.")
        return self._standing.session

    async def _looked(self) -> Inputs | None:
        """Return what plans are made from, after a look at the machine."""
        standing = self._standing
        inputs = standing.inputs() if standing.state.logged_in else None
        if inputs is not None and standing.session is not None:
            await self._watch.look(inputs)
        return inputs

    async def _ping(self, peer: Node, timeout_s: float) -> PingResult | None:
        session = self._standing.session
        return None if session is None else await session.ping(peer.key, timeout_s)

    async def _settings_of_host(self) -> tuple[Setting, ...]:
        try:
            return await self._rooms.gateway.profile()
        except GatewayError as error:
            _log.warning("The settings of the host cannot be read: %s", error)
            return ()

    async def _probe(self, inputs: Inputs, wanted: str) -> tuple[RouteKey, ...]:
        self._connected()
        keys, hosts = routes_meant(wanted, self._watch.routes(inputs), inputs)
        if not keys:
            what = f"no route of a peer that is {wanted!r} or holds it" if wanted else "no route"
            raise BackendError(
                ExitStatus.DOCTOR_ROUTE.code,
                f"This node uses {what}, so there is nothing to probe. See `latchkey routes`.",
            )
        await self._watch.probe(inputs, keys, hosts)
        return keys

    def _judge_health(self, inputs: Inputs | None, routes: tuple[RouteStatus, ...]) -> None:
        """Raise and withdraw warnings, as things stand now."""
        standing = self._standing
        underlay = standing.underlay_status()
        connected = standing.session is not None
        facts = HealthFacts(
            failure=standing.failure.message if standing.failure else "",
            control_problem=standing.control_problem if connected else "",
            relay_problem=underlay.relay_problem if connected else "",
            routes=routes if connected else (),
            exit_ipv6=self._exit_ipv6(inputs),
            paths=underlay.paths,
            settings=self._watch.settings if connected else (),
            rooms=self._room_warnings() if connected else (),
        )
        wanted = standing.state.prefs.want_running
        self._health.update(plan_warnings(facts, inputs if wanted else None), datetime.now(UTC))

    def _room_warnings(self) -> tuple[HealthWarning, ...]:
        found = (("own", self._rooms.dns.problem), ("peers", self._rooms.peerapi.problem))
        return tuple(warn("dns-problem", whose, text=text, fix="") for whose, text in found if text)

    def _exit_ipv6(self, inputs: Inputs | None) -> str:
        """Whether the exit node in use, or this one, has IPv6; empty when there is none."""
        if inputs is None:
            return ""
        chosen = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
        if chosen is not None:
            return self._watch.exit_ipv6.get(chosen.stable_id, "unknown")
        if serves_exit(inputs):
            return "yes" if inputs.around.network.has_internet(6) else "no"
        return ""

    def _observe(self) -> Any:
        if self._standing.session is None or not self._standing.is_configured:
            return None
        try:
            return self._rooms.dataplane.observe()
        except DataplaneError as error:
            _log.warning("The WireGuard device cannot be read: %s", error)
            return None

    def _find_peer(self, target: str) -> Node:
        netmap = self._standing.netmap
        if netmap is not None:
            try:
                peer = netmap.peer_by_ip(parse_ip(target))
            except ProtocolError:
                peer = netmap.peer_by_name(target)
            if peer is not None:
                return peer
        raise BackendError(
            ExitStatus.NO_SUCH_PEER.code,
            f"No node is called {target[:80]!r}. `latchkey status` lists them.",
        )
