"""Gathers what the doctor judges by: finds the target, and asks it and others on the way."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Final, Protocol

from appliance.agent.doctor.machine import (
    check_clock,
    check_dhcp,
    check_health,
    check_settings,
    conclude,
)
from appliance.agent.doctor.policy import reach_of
from appliance.agent.doctor.reach import Evidence, Kind, Target, walk
from appliance.agent.machine import resolve
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import advertised_routes, exit_node_of
from appliance.agent.probes import TIMEOUT_S, addresses_inside, hosts_to_ask
from appliance.agent.routefacts import EXIT, own_lan_holding, subnets_of
from appliance.gateway.profile import Setting
from appliance.health.tracker import Raised
from appliance.host.dhcp import find_servers
from appliance.host.probe import Answer, Outcome, echo, knock
from appliance.localapi.types import CheckItem, DoctorReport, RouteStatus
from appliance.netmap.model import short_name
from appliance.protocol.addresses import IPAddress, parse_ip
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import PingResult

PING_TIMEOUT_S: Final = 5.0
KNOCKED_PORTS: Final = (80, 443, 22)


@dataclass(frozen=True, slots=True)
class Condition:
    """What the agent knows at the moment of the question."""

    inputs: Inputs | None
    """None: no netmap."""
    connected: bool = False
    control_online: bool = False
    routes: tuple[RouteStatus, ...] = ()
    settings: tuple[Setting, ...] = ()
    health: tuple[Raised, ...] = ()
    clock_offset: timedelta | None = None


class Asker(Protocol):
    """Sends what the doctor needs sent."""

    async def ping(self, peer: Node, timeout_s: float) -> PingResult | None:
        """Ping a peer on the discovery level; None when it does not answer."""

    async def ask(self, hosts: Iterable[IPAddress], interface: str) -> Mapping[IPAddress, Answer]:
        """Ask hosts for an echo, else for a connection; an interface of "" is any."""


def examine(condition: Condition, extra: Iterable[CheckItem] = ()) -> DoctorReport:
    """Judge the node itself."""
    items = [
        *extra,
        *check_settings(condition.settings),
        *check_health(condition.health),
        check_clock(condition.clock_offset),
    ]
    return conclude("", items, good="Nothing is wrong with this node.")


async def ask_dhcp(inputs: Inputs | None) -> tuple[CheckItem, ...]:
    """Ask at each uplink with IPv4 who hands out addresses."""
    uplinks = inputs.around.network.uplinks if inputs is not None else ()
    names = [one.name for one in uplinks if any(n.version == 4 for n in one.networks)]
    async with asyncio.TaskGroup() as tasks:
        asking = {
            name: tasks.create_task(_dhcp_servers(name), name=f"DHCP at {name}") for name in names
        }
    return tuple(check_dhcp({name: task.result() for name, task in asking.items()}))


async def _dhcp_servers(interface: str) -> frozenset[IPv4Address] | None:
    try:
        return await find_servers(interface)
    except OSError:
        return None


async def explain(condition: Condition, text: str, asker: Asker) -> DoctorReport:
    """Say why a target cannot be reached, or that it can."""
    inputs = condition.inputs
    if inputs is None:
        item = CheckItem(
            layer="online",
            name="online",
            state="wrong",
            evidence="This node has never been connected, so it knows no other.",
            fix="Connect with `latchkey up --login-server URL`.",
        )
        return conclude(text, [item], good="")
    target = await find_target(inputs, text)
    evidence = await _gather(condition, inputs, target, asker)
    items = [*walk(evidence), *_what_it_may(inputs, target)]
    good = f"{text} is reached." if evidence.answered else f"Nothing is known to keep {text} away."
    return conclude(text, items, good=good)


async def find_target(inputs: Inputs, text: str) -> Target:
    """Say what a name or an address means to this node."""
    peer = inputs.netmap.peer_by_name(text)
    if peer is not None:
        return _peer_target(text, peer)
    try:
        addresses: Iterable[IPAddress] = (parse_ip(text),)
    except ProtocolError:
        addresses = sorted(await resolve(text), key=lambda address: address.version)
    found = [_target_at(inputs, text, address) for address in addresses]
    known = [target for target in found if target.kind is not Kind.NOTHING]
    return (known or found or [Target(text, Kind.NOTHING)])[0]


def _peer_target(text: str, peer: Node) -> Target:
    addresses = peer.addresses or ()
    address = addresses[0].network_address if addresses else None
    return Target(text, Kind.PEER, address, peer)


def _target_at(inputs: Inputs, text: str, address: IPAddress) -> Target:
    peer = inputs.netmap.peer_by_ip(address)
    if peer is not None and not _is_published(peer, address):
        return Target(text, Kind.PEER, address, peer)
    mine = [prefix for prefix in advertised_routes(inputs) if address in prefix]
    if mine:
        return Target(text, Kind.OWN_LAN, address, prefix=max(mine, key=lambda n: n.prefixlen))
    around = inputs.around
    attached = next((n for n in around.uplink | around.internal if address in n), None)
    if attached is not None:
        return Target(text, Kind.ATTACHED, address, prefix=attached)
    held = [
        (prefix, node)
        for node in inputs.netmap.peers.values()
        for prefix in subnets_of(node)
        if address in prefix and own_lan_holding(inputs, prefix) is None
    ]
    if held:
        prefix, router = max(held, key=lambda one: one[0].prefixlen)
        return Target(text, Kind.LAN, address, router, prefix)
    if peer is not None:
        return Target(text, Kind.PEER, address, peer)
    exit_node = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    if exit_node is not None:
        return Target(text, Kind.INTERNET, address, exit_node)
    return Target(text, Kind.NOTHING, address)


def _is_published(peer: Node, address: IPAddress) -> bool:
    """Whether this is a host behind the node; the node's own address comes first in its family."""
    own = (n.network_address for n in peer.addresses or () if n.version == address.version)
    return next(own, address) != address


async def _gather(condition: Condition, inputs: Inputs, target: Target, asker: Asker) -> Evidence:
    ping: PingResult | None = None
    answers: Mapping[IPAddress, Answer] = {}
    if condition.connected and target.kind is not Kind.NOTHING:
        async with asyncio.TaskGroup() as tasks:
            pinging = tasks.create_task(_ping(target.router, asker), name="doctor's ping")
            inside = target.kind in (Kind.OWN_LAN, Kind.ATTACHED)
            interface = "" if inside else inputs.interface
            asking = tasks.create_task(asker.ask(_hosts(target), interface), name="doctor's probe")
        ping = pinging.result()
        answers = asking.result()
    return Evidence(
        target=target,
        inputs=inputs,
        connected=condition.connected,
        control_online=condition.control_online,
        ping=ping,
        answers=answers,
        route=_route_of(condition.routes, target),
        settings=condition.settings,
        clock_offset=condition.clock_offset,
    )


async def _ping(router: Node | None, asker: Asker) -> PingResult | None:
    return None if router is None else await asker.ping(router, PING_TIMEOUT_S)


def _hosts(target: Target) -> tuple[IPAddress, ...]:
    """Choose whom to ask: the target, the router in the LAN and in the mesh, and other hosts."""
    hosts = [target.address] if target.address is not None else []
    if target.kind is Kind.LAN and target.router is not None and target.prefix is not None:
        hosts += addresses_inside(target.router, target.prefix)
        hosts += hosts_to_ask(target.router, target.prefix)
        hosts += [network.network_address for network in target.router.addresses or ()]
    return tuple(dict.fromkeys(hosts))


def _route_of(routes: Iterable[RouteStatus], target: Target) -> RouteStatus | None:
    prefix = EXIT if target.kind is Kind.INTERNET else str(target.prefix)
    router = short_name(target.router) if target.router is not None else ""
    return next((r for r in routes if (r.prefix, r.router) == (prefix, router)), None)


def _what_it_may(inputs: Inputs, target: Target) -> list[CheckItem]:
    """Say what a peer may reach here, which only this node can know."""
    if target.kind is not Kind.PEER or target.router is None:
        return []
    name = short_name(target.router)
    allowed = reach_of(inputs, target.router)
    text = (
        f"{name} may reach here: {'; '.join(allowed)}."
        if allowed
        else (f"The policy lets {name} reach nothing here.")
    )
    return [CheckItem(layer="policy", name="what it may reach here", state="note", evidence=text)]


class Prober:
    """The asker of a running agent."""

    def __init__(self, ping: Callable[[Node, float], Awaitable[PingResult | None]]) -> None:
        self._ping = ping

    async def ping(self, peer: Node, timeout_s: float) -> PingResult | None:
        """Ping a peer on the discovery level."""
        return await self._ping(peer, timeout_s)

    async def ask(self, hosts: Iterable[IPAddress], interface: str) -> Mapping[IPAddress, Answer]:
        """Ask all for an echo, and the first one for a connection when it keeps silent."""
        asked = tuple(hosts)
        answers = await echo(asked, TIMEOUT_S, interface)
        if asked and answers[asked[0]].outcome is Outcome.SILENT:
            async with asyncio.TaskGroup() as tasks:
                knocks = [
                    tasks.create_task(
                        knock(asked[0], port, TIMEOUT_S, interface), name=f"knock at {port}"
                    )
                    for port in KNOCKED_PORTS
                ]
            heard = [task.result() for task in knocks]
            loud = (one for one in heard if one.outcome is not Outcome.SILENT)
            answers[asked[0]] = next(loud, answers[asked[0]])
        return answers
