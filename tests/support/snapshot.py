"""The state of a machine (or a namespace that plays one) as text, to hold two moments together.

What changes by itself (counters, lifetimes, the kernel's own link-local routes) is left out; what a
program can leave behind is in: rulesets, policy rules, routes, addresses, links, kernel settings,
features of interfaces, resolver files.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from difflib import unified_diff
from typing import Final

SETTINGS: Final = (
    "net.ipv4.ip_forward",
    "net.ipv4.fwmark_reflect",
    "net.ipv4.conf.*.accept_redirects",
    "net.ipv4.conf.*.forwarding",
    "net.ipv4.conf.*.rp_filter",
    "net.ipv4.conf.*.src_valid_mark",
    "net.ipv6.fwmark_reflect",
    "net.ipv6.conf.*.accept_ra",
    "net.ipv6.conf.*.accept_redirects",
    "net.ipv6.conf.*.disable_ipv6",
    "net.ipv6.conf.*.forwarding",
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
)
"""What a gateway may change; the star stands for all, default and every interface."""

FEATURES: Final = ("rx-gro-list", "rx-udp-gro-forwarding")
RESOLVER_FILES: Final = ("/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/hosts")

_IPTABLES: Final = ("iptables-nft-save", "ip6tables-nft-save")
_CHANGING: Final = (
    re.compile(r" valid_lft \S+ preferred_lft \S+"),
    re.compile(r" expires \S+"),
    re.compile(r"\b(tentative|dadfailed) ?"),
    re.compile(r"\[\d+:\d+\]"),
    re.compile(r"^#.*\n", re.MULTILINE),
)
_BY_ITSELF: Final = re.compile(r"^.*(\bfe80:|\bff00::/8|^multicast).*\n", re.MULTILINE)

Run = Callable[[str], str]
"""Runs a command inside and returns what it printed."""


def snapshot(run: Run, *, without: tuple[str, ...] = ()) -> str:
    """Everything, section by section; ``without`` names sections to leave out."""
    sections = {
        "ruleset": lambda: run("nft -s list ruleset"),
        "iptables": lambda: _iptables(run),
        "rules": lambda: run("ip -4 rule") + run("ip -6 rule"),
        "routes": lambda: _sorted(
            run("ip -4 route show table all") + run("ip -6 route show table all")
        ),
        "addresses": lambda: run("ip -o addr"),
        "links": lambda: run("ip -o link"),
        "settings": lambda: _settings(run),
        "features": lambda: _features(run),
        "resolver": lambda: "".join(f"{path}\n{run(f'cat {path}')}" for path in RESOLVER_FILES),
    }
    parts = [
        f"== {title}\n{_plain(read())}" for title, read in sections.items() if title not in without
    ]
    return "\n".join(parts)


def difference(before: str, after: str) -> str:
    """What changed, for people; empty when nothing did."""
    return "\n".join(unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))


def _plain(shown: str) -> str:
    for changing in _CHANGING:
        shown = changing.sub("", shown)
    return _BY_ITSELF.sub("", shown)


def _sorted(shown: str) -> str:
    return "".join(f"{line}\n" for line in sorted(shown.splitlines()))


def _iptables(run: Run) -> str:
    return "".join(f"{tool}\n{run(tool)}" for tool in _IPTABLES if shutil.which(tool))


def _settings(run: Run) -> str:
    """All in one call of sysctl, which prints names and values."""
    pattern = "|".join(name.replace(".", r"\.").replace("*", r".+") for name in SETTINGS)
    wanted = re.compile(rf"^({pattern}) = .*$")
    shown = run("sysctl -a -e -r ^net\\.(ipv[46]|netfilter)\\.")
    return "".join(f"{line}\n" for line in shown.splitlines() if wanted.match(line))


def _features(run: Run) -> str:
    if shutil.which("ethtool") is None:
        return "(no ethtool on this machine)\n"
    names = [line.split(": ")[1].split("@")[0] for line in run("ip -o link").splitlines()]
    shown = []
    for name in names:
        lines = run(f"ethtool -k {name}").splitlines()
        shown += [f"{name} {line.strip()}" for line in lines if line.strip().startswith(FEATURES)]
    return "".join(f"{line}\n" for line in shown)
