"""Looks at the machine and at the routes now and then, and remembers what it saw.

The gateway is observed, peers' connections through us are counted as proofs, and the routes that
this node uses are probed, rarely and with few packets. ``Inquiries.status`` reads the
outcome.

A look costs up to 25 ms, most of it the kernel's walk through its table of connections. So it is
taken every few seconds only while a route that is to serve is not proven yet; what changes is told
by a kick, and the gateway's guard repairs without being asked.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import approved_routes, exit_node_of, serves_exit
from appliance.agent.probes import (
    PORTS,
    TIMEOUT_S,
    Schedule,
    hosts_to_ask,
    judge,
    judge_exit,
    relays_to_ask,
)
from appliance.agent.routefacts import (
    EXIT,
    FactLog,
    Proof,
    RouteKey,
    RouteSight,
    all_routes,
    key_of,
    proofs_of_connections,
    proofs_of_flows,
)
from appliance.gateway.driver import Gateway
from appliance.gateway.errors import GatewayError
from appliance.gateway.profile import Setting
from appliance.host.errors import HostError
from appliance.host.probe import SILENCE, Answer, Outcome, echo, knock
from appliance.host.tcptable import read_connections
from appliance.localapi.types import RouteStatus
from appliance.protocol.addresses import IPAddress, parse_network
from appliance.protocol.tailcfg import Node

_log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""The kernel remembers an answered ping for 30 s, other connections longer: none is missed."""
CALM_S: Final = 60.0
"""While no proof is missing: as often as the gateway looks at the settings that it keeps."""
SOON_S: Final = 0.5
"""After a change the machine and the paths get a moment to settle."""

_NOWHERE_V6: Final = ip_address("2001:db8::1")
"""Belongs to nobody (RFC 3849); whoever has no IPv6 says so all the same."""


class Watch:
    """What was seen of this node's routes."""

    def __init__(self, gateway: Gateway, interface: str) -> None:
        self._gateway = gateway
        self._interface = interface
        self._facts = FactLog()
        self._schedule = Schedule()
        self._known: dict[RouteKey, IPAddress] = {}
        self._kick = asyncio.Event()
        self._calm_until = 0.0
        self.sight = RouteSight()
        self.settings: tuple[Setting, ...] = ()
        """The host profile."""
        self.exit_ipv6: dict[str, str] = {}
        """By stable ID of the exit node: ``yes``, ``no`` or ``unknown``."""

    def forget(self) -> None:
        """Nothing is connected any more, so nothing is seen."""
        self.sight = RouteSight()
        self.exit_ipv6.clear()
        self._schedule = Schedule()

    def kick(self) -> None:
        """Look again soon, because something changed."""
        self._kick.set()

    def routes(self, inputs: Inputs) -> tuple[RouteStatus, ...]:
        """Return all routes with their facts as they were seen last."""
        found = self._facts.dated(all_routes(inputs, self.sight), inputs.now)
        kept = {key_of(route, inputs) for route in found if route.serving.ok}
        proofs = {key: proof for key, proof in self.sight.proofs.items() if key in kept}
        self.sight = replace(self.sight, proofs=proofs)
        return found

    async def run(self, inputs: Callable[[], Inputs | None]) -> None:
        """Look and probe until cancelled."""
        clock = asyncio.get_running_loop().time
        self._calm_until = clock()
        while True:
            present = inputs()
            if present is not None:
                await self._look_or_glance(present, clock())
                await self._probe_due(present, clock)
            pause_s = min(CALM_S, self._schedule.rest_s(clock()))
            if present is None or self._lacks_proof(present):
                pause_s = LOOK_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._kick.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SOON_S)
            self._kick.clear()
            self._calm_until = clock()

    async def look(self, inputs: Inputs) -> None:
        """Observe the gateway and its host, and the connections that peers have through it."""
        try:
            self.settings = await self._gateway.profile()
            await self._glance(inputs)
        except (GatewayError, HostError) as error:
            _log.warning("The gateway cannot be observed: %s", error)

    async def _look_or_glance(self, inputs: Inputs, now: float) -> None:
        if now >= self._calm_until:
            self._calm_until = now + CALM_S
            await self.look(inputs)
            return
        try:
            await self._glance(inputs)
        except (GatewayError, HostError) as error:
            _log.warning("The gateway cannot be observed: %s", error)

    async def _glance(self, inputs: Inputs) -> None:
        """Look for what makes a route serve, or proves it."""
        status = await self._gateway.observe()
        serves = bool(approved_routes(inputs)) or serves_exit(inputs)
        flows = await self._gateway.flows() if serves else ()
        self.sight = replace(self.sight, gateway=status)
        self._take(proofs_of_flows(inputs, flows, inputs.now))
        if inputs.prefs.accept_routes:
            self._take(proofs_of_connections(inputs, read_connections(), inputs.now))

    def _lacks_proof(self, inputs: Inputs) -> bool:
        """Whether a route that is to serve, ours or one that this node uses, is not proven."""
        return any(
            route.approved.ok
            and not route.proven.ok
            and (not route.router or route.prefix == EXIT or inputs.prefs.accept_routes)
            for route in self.routes(inputs)
        )

    async def probe(
        self, inputs: Inputs, wanted: Iterable[RouteKey], hosts: Iterable[IPAddress] = ()
    ) -> None:
        """Probe these routes of peers now, at these hosts first."""
        hosts = tuple(hosts)
        for key in wanted:
            await self._probe(inputs, key, hosts)

    async def _probe_due(self, inputs: Inputs, clock: Callable[[], float]) -> None:
        serving = [
            key_of(route, inputs)
            for route in self.routes(inputs)
            if route.router and route.serving.ok
        ]
        for key in self._schedule.due(serving, clock()):
            proof = await self._probe(inputs, key, ())
            # A kernel says "unreachable" once a second only: then whether there is IPv6 stays open.
            half = key[1] == EXIT and self.exit_ipv6.get(key[0]) == "unknown"
            self._schedule.probed(key, clock(), ok=proof is not None and proof.ok, half=half)

    async def _probe(
        self, inputs: Inputs, key: RouteKey, hosts: tuple[IPAddress, ...]
    ) -> Proof | None:
        router = _router(inputs, key)
        if router is None:
            return None
        if key[1] == EXIT:
            answers = await self._ask_relays(inputs)
            proof, ipv6 = judge_exit(router, answers, datetime.now(UTC))
            self.exit_ipv6[key[0]] = ipv6
        else:
            prefix = parse_network(key[1])
            known = (self._known[key],) if key in self._known else ()
            answers = await self._ask(hosts_to_ask(router, prefix, (*hosts, *known)))
            proof = judge(router, prefix, answers, datetime.now(UTC))
            if proof.ok:
                self._known[key] = _first_answered(answers) or next(iter(answers))
        self._take({key: proof})
        return proof

    async def _ask(self, hosts: tuple[IPAddress, ...]) -> dict[IPAddress, Answer]:
        answers = await self.echo(hosts, TIMEOUT_S)
        if hosts and all(answer.outcome is Outcome.SILENT for answer in answers.values()):
            answers[hosts[0]] = await self._knock([(hosts[0], port) for port in PORTS])
        return answers

    async def _ask_relays(self, inputs: Inputs) -> dict[IPAddress, Answer]:
        derp_map = inputs.netmap.derp_map
        doors = [door for version in (4, 6) for door in relays_to_ask(derp_map, version)]
        hosts = tuple(host for host, _ in doors)
        six = () if any(host.version == 6 for host in hosts) else (_NOWHERE_V6,)
        answers = await self.echo((*hosts, *six), TIMEOUT_S)
        for host, port in doors:
            if answers[host].outcome is Outcome.SILENT:
                answers[host] = await self._knock([(host, port)])
        return answers

    async def echo(self, hosts: Iterable[IPAddress], timeout_s: float) -> dict[IPAddress, Answer]:
        """Send an ICMP echo through the tunnel to each host."""
        return await echo(hosts, timeout_s, self._interface)

    async def _knock(self, doors: list[tuple[IPAddress, int]]) -> Answer:
        async with asyncio.TaskGroup() as tasks:
            asked = [
                tasks.create_task(
                    knock(host, port, TIMEOUT_S, self._interface), name=f"knock at {port}"
                )
                for host, port in doors
            ]
        return next((t.result() for t in asked if t.result() != SILENCE), SILENCE)

    def _take(self, proofs: Mapping[RouteKey, Proof]) -> None:
        merged = dict(self.sight.proofs)
        for key, proof in proofs.items():
            before = merged.get(key)
            if (before is None or before.ok != proof.ok) and key[0]:
                _log.info("Route %s: %s", key[1], proof.text)
            merged[key] = proof
        self.sight = replace(self.sight, proofs=merged)


def _router(inputs: Inputs, key: RouteKey) -> Node | None:
    return exit_node_of(inputs.netmap, key[0]) if key[1] == EXIT else _peer(inputs, key[0])


def _peer(inputs: Inputs, stable_id: str) -> Node | None:
    peers = inputs.netmap.peers.values()
    return next((peer for peer in peers if peer.stable_id == stable_id), None)


def _first_answered(answers: Mapping[IPAddress, Answer]) -> IPAddress | None:
    return next((h for h, a in answers.items() if a.outcome is Outcome.ANSWERED), None)
