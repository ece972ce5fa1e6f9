"""What a machine's network looks like, as text to compare: an agent must leave it as it was."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.netns.lab import Host
from tests.netns.lab.namespaces import pids

_LOOKS: Final = {
    "links": ["ip", "-details", "link"],
    "addresses": ["ip", "address"],
    "rules": ["ip", "rule"],
    "rules for IPv6": ["ip", "-6", "rule"],
    "routes": ["ip", "route", "show", "table", "all"],
    "routes for IPv6": ["ip", "-6", "route", "show", "table", "all"],
    "nftables": ["nft", "list", "ruleset"],
    "settings": ["sysctl", "--all", "--pattern", r"^net\."],
}
# What the kernel counts, or derives from what passes.
_LIVELY: Final = re.compile(r"net.netfilter.nf_conntrack_count = \d+\n")


def look_at(host: Host) -> dict[str, str]:
    """Links, addresses, rules, routes of all tables, nftables, settings, and programs."""
    seen = {what: _LIVELY.sub("", host.try_run(command).stdout) for what, command in _LOOKS.items()}
    return seen | {"programs": _programs(host)}


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Every line that came or went."""
    found = []
    for what, text in before.items():
        old, new = text.splitlines(), after[what].splitlines()
        found += [f"{what}: gone: {line.strip()}" for line in old if line not in new]
        found += [f"{what}: left: {line.strip()}" for line in new if line not in old]
    return found


def _programs(host: Host) -> str:
    """The names of the programs that run there, our own agent excepted."""
    names = []
    for pid in pids([host.namespace]):
        try:
            names.append(Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip())
        except OSError:  # it has just ended
            continue
    return "\n".join(sorted(name for name in names if name != "latchkey"))
