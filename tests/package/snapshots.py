"""What a machine's network looks like, to compare before and after."""

from __future__ import annotations

from typing import Final

from tests.package.system import System

_LOOKS: Final = {
    "rules of IPv4": "ip -4 rule",
    "rules of IPv6": "ip -6 rule",
    "routes of IPv4": "ip -4 route show table all",
    "routes of IPv6": "ip -6 route show table all proto static",
    "links": "ip -brief link",
    "nftables": "nft list ruleset",
    "resolver": "cat /etc/resolv.conf",
}
_COUNTS: Final = (
    "nf_conntrack_count",
    "nr_",
    "nf_log",
    "gc_stale",
    "random_secret",
    "tcp_mem",
    "tcp_fastopen_key",
)
"""Kernel values that are no settings."""


def snapshot(system: System) -> dict[str, str]:
    """Look at everything that the agent may change."""
    found = {what: system.try_run(command).stdout for what, command in _LOOKS.items()}
    lines = system.try_run("sysctl --all --pattern ^net\\.").stdout.splitlines()
    kept = (line for line in lines if not any(word in line for word in _COUNTS))
    return found | {"kernel settings": "\n".join(kept)}


def differences(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[list[str], ...]]:
    """What went and what came, of each kind."""
    changed = {}
    for what, text in before.items():
        old, new = text.splitlines(), after[what].splitlines()
        if old != new:
            gone = [line for line in old if line not in new]
            come = [line for line in new if line not in old]
            changed[what] = (gone, come)
    return changed
