"""firewalld: the tunnel belongs to its zone "trusted", and WireGuard's port is open in the others.

Its table cannot be changed by others (firewalld 2 owns it) and rejects what no zone accepts, so it
has to be asked. Both changes are made at run time only: they go with a reload, and come again.
The port's rule has a priority of our own, by which an owner can tell it. An owner who has put the
tunnel into a zone of their own choice keeps it there.

What is there is read from the chains that firewalld makes: ``filter_INPUT_POLICIES`` (version 2)
or ``filter_INPUT_ZONES`` (version 1) leads to ``filter_IN_<zone>``, whose rules with a negative
priority are in ``filter_IN_<zone>_pre``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.gateway.neighbours.chains import Chain, ChainName, Rule
from appliance.gateway.neighbours.plan import FIREWALLD, Passage
from appliance.host.netlink import text

TRUSTED: Final = "trusted"
PRIORITY: Final = -5170
"""Of our rule in a zone; also the number of our routing table."""

_DISPATCH: Final = "filter_INPUT_"
_ZONE: Final = "filter_IN_"
_POLICY: Final = "filter_IN_policy_"
_EARLY: Final = "_pre"


@dataclass(frozen=True, slots=True)
class Seen:
    """What firewalld does now."""

    zones: frozenset[str]
    """Zones through which packets to this host may come."""
    zone_of_tunnel: str | None
    """None while it is in none by name: then the default zone's rules hold for it."""
    open_ports: Mapping[str, frozenset[int]]
    """UDP ports that a rule with a negative priority accepts, by zone."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a zone, and how it is taken back."""

    zone: str
    interface: str = ""
    port: int = 0

    def command(self, verb: str) -> tuple[str, ...]:
        """Return the program and its arguments; the verb is "add" or "remove"."""
        if self.interface:
            return "firewall-cmd", f"--zone={self.zone}", f"--{verb}-interface={self.interface}"
        return "firewall-cmd", f"--zone={self.zone}", f"--{verb}-rich-rule={_rich_rule(self.port)}"


def is_here(chains: Iterable[Chain]) -> bool:
    """Whether firewalld has loaded its rules."""
    return any(_is_its_own(chain.name) for chain in chains)


def to_read(chains: Iterable[Chain]) -> list[ChainName]:
    """Return the chains whose rules ``observe`` needs."""
    return [
        chain.name
        for chain in chains
        if _is_its_own(chain.name)
        and (
            chain.name.name.startswith(_DISPATCH)
            or (chain.name.name.startswith(_ZONE) and chain.name.name.endswith(_EARLY))
        )
    ]


def observe(rules: Mapping[ChainName, tuple[Rule, ...]], interface: str) -> Seen:
    """Read what firewalld does from the rules of its chains."""
    zones: set[str] = set()
    zone_of_tunnel = None
    ports: dict[str, frozenset[int]] = {}
    for chain, of_chain in rules.items():
        if not _is_its_own(chain):
            continue
        if chain.name.startswith(_DISPATCH):
            for rule in of_chain:
                zone = _zone(rule.jump)
                if zone is None:
                    continue
                zones.add(zone)
                if any(text(constant) == interface for constant in rule.constants):
                    zone_of_tunnel = zone
        elif chain.name.endswith(_EARLY):
            zone = _zone(chain.name.removesuffix(_EARLY))
            if zone is not None:
                ports[zone] = frozenset(
                    int.from_bytes(constant, "big")
                    for rule in of_chain
                    for constant in rule.constants
                    if len(constant) == 2
                )
    return Seen(frozenset(zones), zone_of_tunnel, ports)


def plan(seen: Seen, passage: Passage) -> tuple[Step, ...]:
    """Return the changes that are missing."""
    steps = []
    if seen.zone_of_tunnel is None:
        steps.append(Step(TRUSTED, interface=passage.interface))
    steps += [
        Step(zone, port=passage.listen_port)
        for zone in sorted(seen.zones - {TRUSTED})
        if passage.listen_port not in seen.open_ports.get(zone, frozenset())
    ]
    return tuple(steps)


def is_there(step: Step, seen: Seen) -> bool:
    """Whether a change of ours is still in force."""
    if step.interface:
        return seen.zone_of_tunnel == step.zone
    return step.port in seen.open_ports.get(step.zone, frozenset())


def _zone(chain: str) -> str | None:
    if not chain.startswith(_ZONE) or chain.startswith(_POLICY):
        return None
    return chain.removeprefix(_ZONE)


def _is_its_own(chain: ChainName) -> bool:
    return chain.table == FIREWALLD and chain.family == "inet"


def _rich_rule(port: int) -> str:
    return f'rule priority="{PRIORITY}" port port="{port}" protocol="udp" accept'
