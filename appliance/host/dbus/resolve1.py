"""systemd-resolved: org.freedesktop.resolve1, as far as the DNS of one link goes.

SetLinkDNS ia(iay), SetLinkDomains ia(sb), SetLinkDefaultRoute ib, SetLinkLLMNR is,
SetLinkMulticastDNS is, SetLinkDNSSEC is, SetLinkDNSOverTLS is, RevertLink i, FlushCaches.
Source: org.freedesktop.resolve1(5), systemd 252 and 257.
"""

import socket
from collections.abc import Callable
from typing import Final

from appliance.host.dbus.bus import SystemBus
from appliance.protocol.addresses import IPAddress

NAME: Final = "org.freedesktop.resolve1"
_MANAGER: Final = (NAME, "/org/freedesktop/resolve1", "org.freedesktop.resolve1.Manager")

_ROUTE_ONLY: Final = True


async def is_running(bus: SystemBus) -> bool:
    """Whether resolved is on the bus."""
    return await bus.has(NAME)


async def take_everything(bus: SystemBus, link: int, servers: tuple[IPAddress, ...]) -> None:
    """Let every query without a better match go to these servers on this link."""
    raw = [
        [socket.AF_INET if server.version == 4 else socket.AF_INET6, server.packed]
        for server in servers
    ]
    await bus.call(_MANAGER, "SetLinkDNS", "ia(iay)", link, raw)
    await bus.call(_MANAGER, "SetLinkDomains", "ia(sb)", link, [[".", _ROUTE_ONLY]])
    await bus.call(_MANAGER, "SetLinkDefaultRoute", "ib", link, True)
    for member in (
        "SetLinkLLMNR",
        "SetLinkMulticastDNS",
        "SetLinkDNSSEC",  # the exit node's resolver is asked as it is
        "SetLinkDNSOverTLS",
    ):
        await bus.call(_MANAGER, member, "is", link, "no")
    await bus.call(_MANAGER, "FlushCaches")


async def revert(bus: SystemBus, link: int) -> None:
    """Forget what was set for this link."""
    await bus.call(_MANAGER, "RevertLink", "i", link)
    await bus.call(_MANAGER, "FlushCaches")


async def watch(bus: SystemBus, on_start: Callable[[], None]) -> None:
    """Call back whenever resolved has started anew."""

    def changed(owner: str) -> None:
        if owner:
            on_start()

    await bus.watch_name(NAME, changed)
