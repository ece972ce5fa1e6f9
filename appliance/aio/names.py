"""Host names to addresses, with a second way for a program whose own doing bars the first.

While a node's traffic is held back, so are the lookups of its C library; the program's own
connections need addresses all the same.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Final

from appliance.protocol.addresses import IPAddress

Lookup = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""Finds a name's addresses; none when it cannot."""

SPARE: Final[ContextVar[Lookup | None]] = ContextVar("spare lookup", default=None)
"""What the tasks of this context ask when the machine's resolver finds nothing."""

PATIENCE_S: Final = 3.0
"""With a spare at hand the resolver gets so long; without one, what it takes."""


async def look_up(host: str) -> tuple[IPAddress, ...]:
    """Return a name's addresses in the resolver's order; ``socket.gaierror`` when unknown."""
    spare = SPARE.get()
    try:
        async with asyncio.timeout(PATIENCE_S if spare is not None else None):
            return await _ask_resolver(host)
    except TimeoutError:
        failure = socket.gaierror(socket.EAI_AGAIN, "the resolver does not answer")
    except socket.gaierror as error:
        failure = error
    found = await spare(host) if spare is not None else ()
    if not found:
        raise failure
    return tuple(found)


async def _ask_resolver(host: str) -> tuple[IPAddress, ...]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    texts = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    return tuple(ip_address(text) for text in texts)
