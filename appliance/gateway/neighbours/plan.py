"""Which rules of ours belong into which chain of others. Pure.

A chain is a hurdle if it ends in "drop": by its policy or by its last rule. At its head then stand
rules of ours, told apart by their comments. Docker's own place for rules of others, DOCKER-USER,
is used where it comes first, for Docker keeps what is in it. Where nothing drops (any more),
nothing of ours stands.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.gateway.marks import ADMITTED_MARK, MARK_MASK, SUBNET_MARK
from appliance.gateway.neighbours.chains import Chain, ChainName, Hook, Rule
from appliance.gateway.ruleset import TABLE

MARK: Final = "latchkey: "
"""How the comment of each rule of ours begins."""

FIREWALLD: Final = "firewalld"
"""The table of firewalld, which has its own way in (``firewalld``)."""
DOCKER: Final = "DOCKER-USER"
"""Docker's chain for rules of others."""
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_IPTABLES_CHAINS: Final = {"INPUT": Hook.INPUT, "FORWARD": Hook.FORWARD}


@dataclass(frozen=True, slots=True)
class Passage:
    """What others are to let pass."""

    interface: str
    """The tunnel."""
    listen_port: int
    """WireGuard's, for UDP from anywhere."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule of ours, as either tool writes it."""

    comment: str
    iptables: str
    nft: str


@dataclass(frozen=True, slots=True)
class Place:
    """A chain, and the rules of ours that belong at its head; none where nothing drops."""

    chain: ChainName
    entries: tuple[Entry, ...]
    is_owned: bool = False
    """Only its own program may change it."""

    @property
    def is_iptables(self) -> bool:
        """Whether iptables lists this chain."""
        return self.chain.table == "filter" and (
            self.chain.name in _IPTABLES_CHAINS or self.chain.name == DOCKER
        )


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done to one chain: rules of ours that go, and those that come to its head."""

    place: Place
    remove: tuple[int, ...]
    add: tuple[Entry, ...]


def places(
    chains: Iterable[Chain], rules: Mapping[ChainName, tuple[Rule, ...]], passage: Passage
) -> tuple[Place, ...]:
    """Return where rules of ours may stand, and which ones belong there now."""
    known = {chain.name: chain for chain in chains}
    found: dict[ChainName, Place] = {}
    for chain in known.values():
        if chain.hook is None or chain.name.table == TABLE or not _is_plain(chain.name):
            continue
        place = _place(chain.name, rules, known)
        entries = _entries(chain, passage) if _is_hurdle(chain, place, rules) else ()
        for name in {chain.name, place}:
            found.setdefault(name, Place(name, (), chain.is_owned))
        found[place] = Place(place, entries, chain.is_owned)
    return tuple(found.values())


def hooked(chains: Iterable[Chain]) -> list[ChainName]:
    """Return the chains whose rules are to be read for ``places``."""
    return [
        chain.name
        for chain in chains
        if chain.name.table != TABLE and (chain.hook is not None or chain.name.name == DOCKER)
    ]


def plan_change(place: Place, rules: tuple[Rule, ...]) -> Change | None:
    """Return what is to be done to a chain; None when it is as it should be."""
    head = tuple(rule.comment for rule in rules[: len(place.entries)])
    ours = tuple(rule for rule in rules if rule.comment.startswith(MARK))
    if head == tuple(entry.comment for entry in place.entries) and len(ours) == len(head):
        return None
    return Change(place, tuple(rule.handle for rule in ours), place.entries)


def _is_plain(name: ChainName) -> bool:
    """Whether a name can be written to nft as it is; the kernel would take any."""
    return bool(_PLAIN.fullmatch(name.table) and _PLAIN.fullmatch(name.name))


def _place(
    name: ChainName, rules: Mapping[ChainName, tuple[Rule, ...]], known: Mapping[ChainName, Chain]
) -> ChainName:
    """Return DOCKER-USER where that is the first thing that packets meet, else the chain."""
    first = next((r for r in rules.get(name, ()) if not r.comment.startswith(MARK)), None)
    docker = ChainName(name.family, name.table, DOCKER)
    if first is not None and first.jump == DOCKER and docker in known:
        return docker
    return name


def _is_hurdle(chain: Chain, place: ChainName, rules: Mapping[ChainName, tuple[Rule, ...]]) -> bool:
    # Docker drops what is for its containers whatever the policy of the chain.
    if chain.drops or place.name == DOCKER:
        return True
    of_chain = rules.get(chain.name, ())
    return bool(of_chain) and of_chain[-1].is_end


def _entries(chain: Chain, passage: Passage) -> tuple[Entry, ...]:
    if chain.hook is Hook.INPUT:
        return _marked("admitted", ADMITTED_MARK), _wireguard(passage.listen_port)
    return (
        _marked("admitted", ADMITTED_MARK),
        _marked("admitted, masqueraded", SUBNET_MARK),
    )


def _marked(what: str, mark: int) -> Entry:
    return Entry(
        f"{MARK}{what}",
        f"-m mark --mark {mark:#x}/{MARK_MASK:#x}",
        f"meta mark and {MARK_MASK:#x} == {mark:#x}",
    )


def _wireguard(port: int) -> Entry:
    return Entry(f"{MARK}WireGuard port {port}", f"-p udp --dport {port}", f"udp dport {port}")
