"""The host that nodes dial, as addresses."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

from appliance.protocol.addresses import IPAddress

_TIMEOUT_S: Final = 3.0


async def addresses_of(host: str) -> tuple[IPAddress, ...]:
    """Look a host up; an unknown name has no addresses."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return ()
    return tuple({ip_address(str(entry[4][0]).partition("%")[0]) for entry in found})
