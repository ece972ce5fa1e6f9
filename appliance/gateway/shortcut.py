"""The short way for connections that were admitted: the kernel's flow table, where it has one.

A packet of a connection that stands in the flow table goes from one interface to the other without
routing, tracking and any chain; the kernel does its NAT. It is a way past every rule, so
(docs/decisions, 0017):

- only what our table forwards gets there, once it is established, and when it has passed everybody
  else's chains too: the chain that puts it there is the last one on its hook;
- nothing gets there while somebody else's chains look at each forwarded packet;
- it is closed before rules change and opened when connections were judged by the new ones: what is
  in it then goes the long way again, where it may be cut.

The kernel itself sends back to the long way: fragments, packets that do not fit, the end of a
connection, and whatever was routed before a route changed. Of policy rules it notices IPv4's only,
so the short way begins anew when any changes.

Source: linux net/netfilter/{nf_flow_table_core,nf_flow_table_ip,nft_flow_offload}.c, 6.1 to 6.18.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.gateway import nft
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import RulesetRefusedError
from appliance.gateway.filter import TCP, UDP
from appliance.gateway.marks import IS_FORWARDED
from appliance.gateway.ruleset import INTERFACE_NAME, TABLE
from appliance.gateway.zones import forwards
from appliance.host.rtmessages import Link, Route, Rule

_log = logging.getLogger(__name__)

NAME: Final = "shortcut"
"""Of the flow table and of the chain that fills it."""
_PRIORITY: Final = "filter + 100"
"""After the tables of others."""
MAX_DEVICES: Final = 64
"""nft takes 256; a household's gateway has some."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Between which interfaces there is a short way, and by which policy rules it was chosen."""

    devices: frozenset[tuple[int, str]]
    """Index and name: one that comes back under its old name is another one."""
    rules: frozenset[Rule] = frozenset()


def forwards_for_others(config: GatewayConfig) -> bool:
    """Whether there is anything that could take the short way."""
    return config.filter is not None and forwards(config)


def plan_shortcut(
    config: GatewayConfig, links: Iterable[Link], main: Iterable[Route], rules: Iterable[Rule]
) -> Shortcut | None:
    """Return the short way between the tunnel and all interfaces that routes lead over.

    ``main`` is the main table, ``rules`` are everybody's. None: there is no tunnel, or too much.
    """
    used = {route.link for route in main}
    devices = [
        (link.index, link.name)
        for link in links
        if link.is_up
        and (link.name == config.interface or (link.index in used and link.name != "lo"))
        and INTERFACE_NAME.fullmatch(link.name)
    ]
    if len(devices) > MAX_DEVICES or config.interface not in (name for _, name in devices):
        return None
    return Shortcut(frozenset(devices), frozenset(rules))


def render_opening(shortcut: Shortcut) -> str:
    """Write what adds the short way to our table, which must be there."""
    names = ", ".join(sorted(f'"{name}"' for _, name in shortcut.devices))
    where, chain = f"inet {TABLE} {NAME}", "type filter hook forward priority"
    return (
        f"add flowtable {where} {{ hook ingress priority filter; devices = {{ {names} }}; }}\n"
        f"add chain {where} {{ {chain} {_PRIORITY}; policy accept; }}\n"
        f"add rule {where} meta l4proto {{ {TCP}, {UDP} }} {IS_FORWARDED} ct state established "
        f"flow add @{NAME}\n"
    )


def render_closing() -> str:
    """Write what removes it, and all connections from it."""
    where = f"inet {TABLE} {NAME}"
    return f"flush chain {where}\ndelete chain {where}\ndelete flowtable {where}\n"


class ShortcutKeeper:
    """Opens and closes the short way in our table; closed when a table was loaded as a whole."""

    def __init__(self) -> None:
        self.present: Shortcut | None = None
        """What is open."""
        self._refused: frozenset[tuple[int, str]] | None = None

    def forget(self) -> None:
        """Know that it went with its table, and that a new one may be asked."""
        self.present = self._refused = None

    async def close(self) -> None:
        """Have everything take the long way; a refusal is a ``RulesetRefusedError``."""
        if self.present is not None:
            await nft.load(render_closing())
            self.present = None

    async def open(self, wanted: Shortcut) -> bool:
        """Open it while it is closed; say whether that was done.

        A kernel that has no flow tables is asked once, and again for other interfaces.
        """
        if wanted.devices == self._refused:
            return False
        try:
            await nft.load(render_opening(wanted))
        except RulesetRefusedError as error:
            self._refused = wanted.devices
            _log.debug("Connections take no short way: %s", error)
            return False
        self.present, self._refused = wanted, None
        names = ", ".join(sorted(name for _, name in wanted.devices))
        _log.debug("Established connections take the short way between %s", names)
        return True
