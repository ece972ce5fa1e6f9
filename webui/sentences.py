"""The agent's sentences in the visitor's language, and for people without a terminal.

The agent speaks English and names commands. Its sentences are known here as templates, which are
those of ``agent/routefacts.py``, ``agent/probes.py`` and ``health/catalogue.py``; what none of
them fits is shown as it is.
"""

import re
from functools import cache
from typing import Final

from flask_babel import gettext


def N_(text: str) -> str:  # noqa: N802 - the usual name of the mark for gathering texts
    """Mark a text for the catalogue."""
    return text


_TEMPLATES: Final[tuple[str | tuple[str, str], ...]] = (
    # Facts of routes.
    N_("Withdrawn: %(reason)s."),
    N_("no interface of this machine leads to it"),
    N_("the interface that had it is disconnected or has lost it"),
    N_("Attached to this machine."),
    N_("%(interface)s is in %(network)s."),
    N_("Behind the default gateway %(gateway)s on %(interface)s."),
    N_("Behind %(gateway)s on %(interface)s."),
    N_("The coordinator lets peers use it."),
    N_("Not while it is withdrawn; the approval is kept."),
    ("An admin must approve it: `%(command)s`.", N_("It must be approved at the coordinator.")),
    N_("Not approved yet."),
    N_(
        "%(where)s, forwarding is on, the packet filter is in force, and the coordinator sends "
        "peers here."
    ),
    N_("the LAN is there"),
    N_("%(interface)s is up"),
    N_("%(name)s carries it; this node stands by."),
    N_("This machine has not been looked at yet."),
    N_("Our packet filter is not in force."),
    N_("The kernel does not forward %(family)s (%(setting)s)."),
    N_("The owner offers this node as exit node."),
    N_("This machine has no default route itself."),
    N_("IPv4 goes out from here; this home has no IPv6, so peers' IPv6 is blocked, not leaked."),
    N_("IPv4 and IPv6 go out from here."),
    N_("IPv6 alone goes out from here."),
    N_("%(name)s offers it, says the coordinator."),
    N_("The coordinator lets this node use it."),
    ("This node does not use it: `%(command)s`.", N_("This box uses no networks of others.")),
    N_("This machine is in %(network)s itself; the own LAN goes first."),
    N_("The key of %(name)s has expired."),
    N_("Another router's route to the same addresses is in use."),
    N_("%(name)s is offline; traffic to the internet is held back."),
    N_("%(name)s is offline."),
    N_("The kernel has no route into the tunnel for it."),
    N_("The kernel has no default route into the tunnel."),
    N_("%(name)s is online, and the kernel sends it into the tunnel."),
    N_("%(name)s is online, and both default routes lead into the tunnel."),
    (
        "No peer's connection went through it and was answered yet; `latchkey routes probe` at a "
        "peer tries it.",
        N_("No device has used it yet. Open something behind it from a device elsewhere."),
    ),
    ("Not tried yet: `latchkey routes probe`.", N_("Not tried yet.")),
    N_("Not while it is not serving."),
    N_("A connection of this machine to %(address)s (%(port)s) was answered; seen at %(time)s."),
    N_("%(name)s reached %(address)s (%(protocol)s), answered at %(time)s."),
    N_("%(address)s answered a probe in %(ms)s ms at %(time)s."),
    N_("%(address)s answered a probe at %(time)s."),
    N_("Nobody answered: %(hosts)s (%(time)s)."),
    N_("This machine could not send a probe (%(time)s)."),
    N_("%(name)s has no way to %(network)s (%(time)s)."),
    N_("%(name)s answers only for itself (%(time)s)."),
    # Networks that are not to be offered (agent/networks.py).
    N_("%(interface)s is a tunnel to somewhere else, not a network at home."),
    (
        "Containers or virtual machines of this machine use it; it is no network at home.",
        N_("Containers or virtual machines of this box use it; it is no network at home."),
    ),
    N_("It is too small to be a network at home: it links this machine to a provider."),
    N_("Its addresses are public: they belong to the provider and may change."),
    # Being the coordinator, and prefs that are refused (agent/coordinatorfile.py, netmap/prefs.py).
    (
        "This machine is already in the mesh of %(url)s. Leave that mesh first (`%(command)s`).",
        N_("This box is already in the mesh of %(url)s. Leave that mesh first."),
    ),
    (
        "This machine is a coordinator by %(file)s, which its owner wrote: change that file "
        "instead.",
        N_("This box is a coordinator by the file %(file)s: change that file instead."),
    ),
    (
        "Other nodes have joined this machine's mesh, so it cannot %(what)s: they would lose it. "
        "Delete them first.",
        N_("Other devices have joined this box's mesh, and would lose it. Remove them first."),
    ),
    N_("%(one)s and %(other)s overlap. Advertise only the larger of the two."),
    # Warnings: titles.
    N_("Not connected"),
    N_("Coordinator unreachable"),
    N_("Relay unreachable"),
    N_("The coordinator says"),
    N_("Key expires soon"),
    N_("Exit node missing"),
    N_("Exit node offline"),
    N_("No IPv6 through the exit node"),
    N_("This home has no IPv6"),
    N_("Route withdrawn"),
    N_("Route waits for approval"),
    N_("LAN renumbered"),
    N_("Route not served"),
    N_("Nothing to advertise"),
    N_("Two networks with the same numbers"),
    N_("Machine setting wrong"),
    N_("Names do not resolve"),
    N_("Another firewall"),
    N_("Clock wrong"),
    # Warnings: what is wrong, and what to do.
    N_("This node's key expires on %(date)s; after that nobody reaches it."),
    (
        "Renew it with `%(command)s`, or let an admin extend it.",
        N_("Log in again under “Settings”, or extend it at the coordinator."),
    ),
    N_(
        "The exit node %(name)s is not there or not approved, so traffic to the internet is held "
        "back."
    ),
    ("Choose another, or none with `%(command)s`.", N_("Choose another exit node, or none.")),
    N_("The exit node %(name)s is offline, so traffic to the internet is held back."),
    (
        "Wait for it, or choose another: `%(command)s`.",
        N_("Wait for it, or choose another exit node."),
    ),
    N_("The exit node %(name)s has no IPv6 at home; IPv6 traffic is blocked, not leaked."),
    N_("This exit node's home has no IPv6; the IPv6 traffic of peers is blocked, not leaked."),
    N_("The route %(prefix)s is withdrawn: %(reason)s."),
    N_("It is advertised again by itself when that network is back."),
    N_("The route %(prefix)s is advertised, but not approved."),
    ("Let an admin run `%(command)s`.", N_("Approve it at the coordinator.")),
    N_("The LAN has new numbers: %(new)s instead of %(old)s. The new route needs an approval."),
    N_("The route %(prefix)s is approved, but not served: %(reason)s."),
    (
        "`latchkey doctor` says what is wrong with this machine.",
        N_("Restart the box; if it stays so, the command `latchkey doctor` says more."),
    ),
    N_("Routes are to be found by themselves, but no LAN is attached to this machine."),
    (
        "Plug in a network, or name subnets with `%(command)s`.",
        N_("Plug in a network cable, or connect the box to Wi-Fi."),
    ),
    N_(
        "%(router)s offers %(prefix)s, but this machine is in a network of these numbers itself; "
        "the own LAN goes first."
    ),
    N_("If it is another LAN, renumber one of the two."),
    N_("Set the clock, or let NTP do it."),
    N_(
        "The coordinator at %(url)s cannot be reached: %(why)s. Check its address, and that it is "
        "running."
    ),
    N_("The connection to the coordinator at %(url)s was lost (%(why)s). Connecting again."),
    N_("Relay %(name)s cannot be reached: %(why)s."),
    N_("Relay %(name)s is lost: %(why)s."),
    N_("Relay %(name)s did not answer in %(n)s s."),
)

MAX_LENGTH: Final = 1000
"""Longer texts are no sentences of ours; patterns need not try them."""

_PLACE: Final = re.compile(r"%\((\w+)\)s")
_NESTED: Final = ("reason", "where")
"""Words that are sentences' parts themselves."""


def translate(text: str) -> str:
    """Return a sentence of the agent's for the visitor, or as it is."""
    if not text or len(text) > MAX_LENGTH:
        return text
    for pattern, shown in _patterns():
        match = pattern.fullmatch(text)
        if match is not None:
            words = {name: _word(name, word) for name, word in match.groupdict().items()}
            return str(gettext(shown, **words) if "%(" in shown else gettext(shown))
    return text


def is_known(text: str) -> bool:
    """Whether some template fits."""
    return any(pattern.fullmatch(text) for pattern, _ in _patterns())


def _word(name: str, word: str) -> str:
    if name in _NESTED:
        return translate(word)
    return str(gettext("to the internet")) if name == "prefix" and word == "exit" else word


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    pairs = [(one, one) if isinstance(one, str) else one for one in _TEMPLATES]
    pairs.sort(key=lambda pair: -len(_PLACE.sub("", pair[0])))  # what says most fits best
    return tuple((_pattern(said), shown) for said, shown in pairs)


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACE.split(template)
    texts = [re.escape(part) for part in parts[::2]]
    words = [f"(?P<{name}>.+?)" for name in parts[1::2]]
    return re.compile(texts[0] + "".join(map("".join, zip(words, texts[1:], strict=True))))
