"""Tells peers, by a packet each, that this node's sessions began anew.

A WireGuard device that was just made knows no session, but its peers still send under theirs and
notice only 15 s after the first lost packet. Whatever we send makes WireGuard shake hands first,
and the peer forgets the old session by that.
"""

import contextlib
import socket
from collections.abc import Iterable
from typing import Final

from appliance.protocol.addresses import IPAddress

_DISCARD: Final = 9
"""RFC 863: whoever hears it does nothing."""


def greet(addresses: Iterable[IPAddress]) -> None:
    """Send an empty datagram to each address, and wait for nothing."""
    for address in addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with (
            contextlib.suppress(OSError),
            socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.sendto(b"", (str(address), _DISCARD))
