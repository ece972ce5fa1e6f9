"""Which routes of peers are to be probed, when, at which hosts, and what an answer proves. Pure.

A probe is one ICMP echo to a few hosts behind the router, through the tunnel; where all are silent,
the first step of a TCP connection to one of them. Whatever comes back from behind the router is
proof. What the router says for itself is none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from math import inf
from typing import Final

from appliance.agent.routefacts import Proof, RouteKey, clock
from appliance.host.network import PRIVATE
from appliance.host.probe import Answer, Outcome
from appliance.netmap.model import endpoints_of, short_name
from appliance.protocol.addresses import IPAddress, IPNetwork
from appliance.protocol.tailcfg import DerpMap, Node

MAX_ROUTES: Final = 64
"""Routes that are probed by themselves; peers name them, so there must be an end."""
MAX_HOSTS: Final = 4
"""Hosts asked at a time: a question, not a scan."""
TIMEOUT_S: Final = 4.0
"""A router gives up its own search for a host (ARP) after three seconds, and then says so."""
PORTS: Final = (80, 443)

AGAIN_PROVEN_S: Final = 900.0
"""A proof is renewed so seldom, because it wakes paths that nobody needs."""
_AGAIN_S: Final = (5.0, 15.0, 60.0, 300.0, 900.0)
"""The pauses after each failure in a row; then the last one again."""
_HALF_AGAIN_S: Final = (5.0, *[10.0] * 6, 60.0, 300.0, 900.0)
"""The same after an answer that leaves a part open: chance may have swallowed the other one."""


@dataclass(frozen=True, slots=True)
class _Entry:
    next_at: float
    failures: int = 0


class Schedule:
    """When each serving route is probed next; driven by the routes that serve, and by results."""

    def __init__(self) -> None:
        self._entries: dict[RouteKey, _Entry] = {}

    def due(self, serving: Iterable[RouteKey], now: float) -> tuple[RouteKey, ...]:
        """Return what is to be probed now; a route that begins to serve is due at once."""
        wanted = list(dict.fromkeys(serving))[:MAX_ROUTES]
        self._entries = {key: self._entries.get(key, _Entry(now)) for key in wanted}
        return tuple(key for key, entry in self._entries.items() if entry.next_at <= now)

    def rest_s(self, now: float) -> float:
        """Return how long nothing is due; without end when nothing is scheduled."""
        return max(0.0, min((one.next_at for one in self._entries.values()), default=inf) - now)

    def probed(self, key: RouteKey, now: float, *, ok: bool, half: bool = False) -> None:
        """Take a result; routes that are not scheduled count for nothing.

        ``half``: it is proven, but something that the answers should also tell is still open.
        """
        entry = self._entries.get(key)
        if entry is None:
            return
        if ok and not half:
            self._entries[key] = _Entry(now + AGAIN_PROVEN_S)
            return
        pauses = _HALF_AGAIN_S if ok else _AGAIN_S
        pause = pauses[min(entry.failures, len(pauses) - 1)]
        self._entries[key] = replace(entry, next_at=now + pause, failures=entry.failures + 1)


def hosts_to_ask(
    router: Node, prefix: IPNetwork, known: Iterable[IPAddress] = ()
) -> tuple[IPAddress, ...]:
    """Choose hosts behind a router: known ones, published ones, then the usual gateway addresses.

    The router's own address is not among them, as far as it is known.
    """
    if prefix.num_addresses == 1:
        return (prefix.network_address,)
    published = [network.network_address for network in router.addresses or ()]
    guesses = [prefix.network_address + 1, prefix.network_address + 2]
    if prefix.version == 4 and prefix.num_addresses > 3:
        guesses.append(prefix.broadcast_address - 1)
    own = addresses_inside(router, prefix)
    asked = dict.fromkeys(
        address
        for address in (*known, *published, *guesses)
        if address in prefix and address not in own
    )
    return tuple(asked)[:MAX_HOSTS]


def addresses_inside(router: Node, prefix: IPNetwork) -> tuple[IPAddress, ...]:
    """Return the router's own addresses in its LAN, as its endpoints tell them."""
    found = (endpoint.ip for endpoint in endpoints_of(router))
    return tuple(dict.fromkeys(address for address in found if address in prefix))


def relays_to_ask(derp_map: DerpMap, version: int) -> tuple[tuple[IPAddress, int], ...]:
    """Return addresses and ports of our own relays: what an exit node is tried with."""
    found: dict[tuple[IPAddress, int], None] = {}
    for region in (derp_map.regions or {}).values():
        for node in (region.nodes if region is not None else None) or ():
            for text in (node.ipv4, node.ipv6, node.host_name):
                try:
                    address = ip_address(text or "")
                except ValueError:
                    continue
                if address.version == version and not _is_inside(address):
                    found[address, node.derp_port or 443] = None
    return tuple(found)[:MAX_HOSTS]


def _is_inside(address: IPAddress) -> bool:
    """Whether an exit node would not carry it: it is in somebody's own network."""
    return address.is_loopback or any(
        address.version == network.version and address in network for network in PRIVATE
    )


def judge(
    router: Node, prefix: IPNetwork, answers: Mapping[IPAddress, Answer], now: datetime
) -> Proof:
    """Say what the answers prove."""
    own = {network.network_address for network in router.addresses or ()}
    own |= set(addresses_inside(router, prefix))
    name = short_name(router)
    heard = [answer for answer in answers.values() if answer.sender is not None]
    for answer in sorted(heard, key=lambda one: one.outcome.value):
        if answer.sender not in own and answer.sender in prefix:
            return Proof(ok=True, at=now, text=_good(answer, now))
    if heard:
        absent = next((t for t, a in answers.items() if a.outcome is Outcome.UNREACHABLE), None)
        text = f"{name} has no way to {absent}" if absent else f"{name} answers only for itself"
        return Proof(ok=False, at=now, text=f"{_capital(text)} ({clock(now)}).")
    if all(answer.outcome is Outcome.NOT_SENT for answer in answers.values()):
        return Proof(ok=False, at=now, text=f"This machine could not send a probe ({clock(now)}).")
    asked = ", ".join(map(str, answers))
    return Proof(ok=False, at=now, text=f"Nobody answered: {asked} ({clock(now)}).")


def _good(answer: Answer, now: datetime) -> str:
    latency = f" in {answer.latency_s * 1000:.0f} ms" if answer.latency_s is not None else ""
    return f"{answer.sender} answered a probe{latency} at {clock(now)}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def judge_exit(
    exit_node: Node, answers: Mapping[IPAddress, Answer], now: datetime
) -> tuple[Proof, str]:
    """Say whether something came back through the exit node, and whether it has IPv6.

    IPv6 is ``yes``, ``no`` (the exit node itself refuses it) or ``unknown``. A refused connection
    proves nothing: an exit node without IPv6 refuses in the name of the target.
    """
    own = {network.network_address for network in exit_node.addresses or ()}
    good = next((answer for answer in answers.values() if _came_from_target(answer)), None)
    if good is not None:
        proof = Proof(ok=True, at=now, text=_good(good, now))
    else:
        asked = ", ".join(map(str, answers)) or "no relay has an address to ask"
        proof = Proof(ok=False, at=now, text=f"Nobody answered: {asked} ({clock(now)}).")
    six = [answer for target, answer in answers.items() if target.version == 6]
    if any(_came_from_target(answer) for answer in six):
        return proof, "yes"
    refused = any(a.outcome is Outcome.UNREACHABLE and a.sender in own for a in six)
    return proof, "no" if refused else "unknown"


def _came_from_target(answer: Answer) -> bool:
    return answer.outcome is Outcome.ANSWERED and not answer.refused
