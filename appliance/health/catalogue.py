"""Everything that an owner should know of: one entry a fact, in words for people. Pure.

A code never changes its meaning, because scripts look for it. Texts may name things in braces;
``warn`` fills them in. What to do stands apart from what is wrong, so that a page can make a
button of it.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Final


class Severity(Enum):
    """How much it matters."""

    HIGH = "high"
    """The mesh does not work, or not safely, until something is done."""
    MEDIUM = "medium"
    """A part of what the owner asked for does not work."""
    LOW = "low"
    """Good to know; it works as far as it can."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of warning."""

    code: str
    title: str
    severity: Severity
    text: str
    """What is wrong, one sentence."""
    fix: str
    """What to do, one sentence; empty when nobody can do anything."""


@dataclass(frozen=True, slots=True, order=True)
class HealthWarning:
    """One warning that holds now; equal ones are the same warning."""

    code: str
    subject: str = ""
    """Which of several (a prefix, a peer); empty where there is only one."""
    title: str = field(default="", compare=False)
    text: str = field(default="", compare=False)
    fix: str = field(default="", compare=False)
    severity: Severity = field(default=Severity.MEDIUM, compare=False)

    @property
    def sentence(self) -> str:
        """What is wrong and what to do."""
        return f"{self.text} {self.fix}".strip()


def _entry(code: str, title: str, severity: Severity, text: str, fix: str = "") -> Entry:
    return Entry(code, title, severity, text, fix)


_HIGH, _MEDIUM, _LOW = Severity.HIGH, Severity.MEDIUM, Severity.LOW

CATALOGUE: Final[dict[str, Entry]] = {
    entry.code: entry
    for entry in (
        _entry("agent-failed", "Not connected", _HIGH, "{text}"),
        _entry("coordinator-unreachable", "Coordinator unreachable", _MEDIUM, "{text}"),
        _entry("relay-unreachable", "Relay unreachable", _MEDIUM, "{text}"),
        _entry("coordinator-says", "The coordinator says", _MEDIUM, "{text}"),
        _entry(
            "key-expires-soon",
            "Key expires soon",
            _MEDIUM,
            "This node's key expires on {date}; after that nobody reaches it.",
            "Renew it with `latchkey up --force-reauth`, or let an admin extend it.",
        ),
        _entry(
            "exit-node-missing",
            "Exit node missing",
            _HIGH,
            "The exit node {name} is not there or not approved, so traffic to the internet is "
            "held back.",
            "Choose another, or none with `latchkey set --exit-node=`.",
        ),
        _entry(
            "exit-node-offline",
            "Exit node offline",
            _HIGH,
            "The exit node {name} is offline, so traffic to the internet is held back.",
            "Wait for it, or choose another: `latchkey exit-node list`.",
        ),
        _entry(
            "exit-node-no-ipv6",
            "No IPv6 through the exit node",
            _LOW,
            "The exit node {name} has no IPv6 at home; IPv6 traffic is blocked, not leaked.",
        ),
        _entry(
            "exit-home-no-ipv6",
            "This home has no IPv6",
            _LOW,
            "This exit node's home has no IPv6; the IPv6 traffic of peers is blocked, not leaked.",
        ),
        _entry(
            "route-withdrawn",
            "Route withdrawn",
            _MEDIUM,
            "The route {prefix} is withdrawn: {reason}.",
            "It is advertised again by itself when that network is back.",
        ),
        _entry(
            "route-not-approved",
            "Route waits for approval",
            _MEDIUM,
            "The route {prefix} is advertised, but not approved.",
            "Let an admin run `latchkey admin routes approve {node} {prefix}`.",
        ),
        _entry(
            "lan-renumbered",
            "LAN renumbered",
            _MEDIUM,
            "The LAN has new numbers: {new} instead of {old}. The new route needs an approval.",
            "Let an admin run `latchkey admin routes approve {node} {new}`.",
        ),
        _entry(
            "route-not-served",
            "Route not served",
            _HIGH,
            "The route {prefix} is approved, but not served: {reason}.",
            "`latchkey doctor` says what is wrong with this machine.",
        ),
        _entry(
            "no-networks",
            "Nothing to advertise",
            _MEDIUM,
            "Routes are to be found by themselves, but no LAN is attached to this machine.",
            "Plug in a network, or name subnets with `latchkey set --advertise-routes`.",
        ),
        _entry(
            "same-numbers",
            "Two networks with the same numbers",
            _LOW,
            "{router} offers {prefix}, but this machine is in a network of these numbers itself; "
            "the own LAN goes first.",
            "If it is another LAN, renumber one of the two.",
        ),
        _entry(
            "profile-wrong",
            "Machine setting wrong",
            _MEDIUM,
            "{name} is {present} and should be {wanted}: {why}",
            "{fix}",
        ),
        _entry("dns-problem", "Names do not resolve", _MEDIUM, "{text}", "{fix}"),
        _entry("firewall-conflict", "Another firewall", _MEDIUM, "{text}", "{fix}"),
        _entry("clock-wrong", "Clock wrong", _HIGH, "{text}", "Set the clock, or let NTP do it."),
    )
}


def warn(code: str, subject: str = "", **words: object) -> HealthWarning:
    """Make a warning from the catalogue; a word that the text needs and is missing is a bug."""
    entry = CATALOGUE[code]
    return HealthWarning(
        code=code,
        subject=subject,
        title=entry.title,
        text=entry.text.format(**words),
        fix=entry.fix.format(**words),
        severity=entry.severity,
    )
