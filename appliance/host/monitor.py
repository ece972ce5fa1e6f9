"""The kernel's own word that something about the network changed.

A netlink socket that joined groups hears every change. We only take it as a bell: what changed is
read afterwards, so a message that was lost to a full buffer does no harm.
"""

import asyncio
import contextlib
import socket
from typing import Final, Self

from appliance.host.errors import NetlinkError

# Group numbers of linux/rtnetlink.h and linux/netfilter/nfnetlink.h.
LINKS: Final = 1
IPV4_ADDRESSES: Final = 5
IPV4_ROUTES: Final = 7
IPV4_RULES: Final = 8
IPV6_ADDRESSES: Final = 9
IPV6_ROUTES: Final = 11
IPV6_RULES: Final = 19
IPV4_FORWARDING: Final = 24
IPV6_FORWARDING: Final = 25
"""Forwarding and the reverse-path check, of an interface or of all (RTNLGRP_IPV*_NETCONF)."""
NFTABLES: Final = 7
"""A group of the netfilter protocol; the others belong to the route protocol."""

_READ_SIZE: Final = 64 * 1024


class ChangeBell:
    """Rings when one of the groups has news."""

    def __init__(self, protocol: int, *groups: int) -> None:
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol
            )
            self._socket.bind((0, sum(1 << (group - 1) for group in groups)))
        except OSError as error:
            raise NetlinkError(
                error.errno or 0, f"network changes cannot be heard: {error.strerror}"
            ) from error
        self._rang = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._socket, self._drain)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    async def wait(self) -> None:
        """Return after the next change, at once when there was one since the last call."""
        await self._rang.wait()
        self._rang.clear()

    def _drain(self) -> None:
        # ENOBUFS: the buffer was full and messages are lost, which rings as well.
        with contextlib.suppress(OSError):
            while self._socket.recv(_READ_SIZE):
                pass
        self._rang.set()
