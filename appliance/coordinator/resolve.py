"""The host that nodes dial, as addresses, and the LANs where they find it without a route."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

from appliance.host.errors import HostError
from appliance.host.netmon import NetworkMonitor
from appliance.protocol.addresses import IPAddress, IPNetwork

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


def own_lans() -> frozenset[IPNetwork]:
    """Return the private networks that this machine is attached to; none when it cannot tell."""
    try:
        return NetworkMonitor("").state.value.lan_networks
    except (OSError, HostError):
        return frozenset()
