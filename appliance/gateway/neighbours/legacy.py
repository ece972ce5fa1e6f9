"""iptables-legacy: the filter of kernels and systems from before nftables, read from its listing.

Its rules are not nftables': the kernel does not tell of their changes, and they have numbers
instead of handles. The program is called only where the kernel says that a legacy filter table is
loaded, for calling it would load one.
"""

import shlex
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.gateway.neighbours.chains import Chain, ChainName, Hook, Rule

FAMILIES: Final = {"ip": "legacy ip", "ip6": "legacy ip6"}
"""What its chains are called here, to tell them from nftables' own."""
PROGRAMS: Final = {"legacy ip": "iptables-legacy", "legacy ip6": "ip6tables-legacy"}

_TABLES: Final = {"ip": "ip_tables_names", "ip6": "ip6_tables_names"}
_HOOKS: Final = {"INPUT": Hook.INPUT, "FORWARD": Hook.FORWARD}
_STOPS: Final = frozenset({"DROP", "REJECT"})
_NET: Final = Path("/proc/thread-self/net")

Listing = tuple[list[Chain], dict[ChainName, tuple[Rule, ...]]]


def families(net: Path = _NET) -> list[str]:
    """Return the families that have a legacy filter table in this network namespace."""
    found = []
    for family, file in _TABLES.items():
        try:
            loaded = (net / file).read_text().split()
        except OSError:
            continue
        if "filter" in loaded:
            found.append(FAMILIES[family])
    return found


def is_in_use(net: Path = _NET) -> bool:
    """Whether this network namespace has any legacy table that sees each packet."""
    loaded: set[str] = set()
    for file in _TABLES.values():
        with suppress(OSError):
            loaded.update((net / file).read_text().split())
    return bool(loaded - {"nat"})


def parse_listing(family: str, listing: str) -> Listing:
    """Read what ``iptables-legacy -S`` shows; a rule's handle is its number in its chain."""
    chains: list[Chain] = []
    rules: dict[ChainName, list[Rule]] = {}
    for line in listing.splitlines():
        words = _split(line)
        if len(words) < 2:
            continue
        name = ChainName(family, "filter", words[1])
        if words[0] == "-P" and len(words) > 2:
            chains.append(Chain(name, _HOOKS.get(words[1]), drops=words[2] == "DROP"))
        elif words[0] == "-N":
            chains.append(Chain(name))
        elif words[0] == "-A":
            of_chain = rules.setdefault(name, [])
            of_chain.append(_rule(len(of_chain) + 1, words[2:]))
    return chains, {name: tuple(of_chain) for name, of_chain in rules.items()}


def render(chain: ChainName, remove: Iterable[int], lines: Iterable[str]) -> str:
    """Write one step for iptables-legacy-restore: the last numbers go first, then ``lines``."""
    removals = [f"-D {chain.name} {number}" for number in sorted(remove, reverse=True)]
    return "\n".join(["*filter", *removals, *lines, "COMMIT", ""])


def _rule(number: int, words: list[str]) -> Rule:
    comment = _after("--comment", words)
    target = _after("-j", words) or _after("-g", words)
    # Without any condition the target comes first.
    return Rule(number, comment, target, is_end=target in _STOPS and words[0] == "-j")


def _after(option: str, words: list[str]) -> str:
    place = words.index(option) + 1 if option in words else len(words)
    return words[place] if place < len(words) else ""


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []
