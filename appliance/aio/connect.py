"""TCP connections to a host name: every address gets a chance, the first that answers wins."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from itertools import chain, zip_longest
from typing import Final

from appliance.aio.names import look_up

Address = tuple[str, int]
Connect = Callable[[Address], Awaitable[socket.socket]]
"""Opens a non-blocking connection to a literal IP address, or raises ``OSError``."""

# How long one address is tried before the next is tried beside it (RFC 8305, section 5).
_HEAD_START_S: Final = 0.25


async def connect_plain(address: Address) -> socket.socket:
    """Open a connection with an ordinary socket."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def connect_tcp(host: str, port: int, connect: Connect = connect_plain) -> socket.socket:
    """Connect to a host by name or address; the caller sets the time limit.

    Raises ``socket.gaierror`` when the name is unknown, else the ``OSError`` of the first
    address when none answers.
    """
    return await _Race(connect).run(await _resolve(host, port))


def in_plain_words(error: OSError) -> OSError:
    """Return an error with the kernel's reason; asyncio puts another text and the address there."""
    number = error.errno or 0
    return OSError(number, os.strerror(number)) if number > 0 else error


class _Race:
    """One attempt an address, each starting when the one before fails or is slow."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._attempts: list[asyncio.Task[None]] = []
        self._winner: socket.socket | None = None
        self._errors: list[OSError] = []

    async def run(self, addresses: Sequence[Address]) -> socket.socket:
        """Return the first connection; the slower attempts are given up."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for address in addresses:
                    over = asyncio.Event()
                    attempt = self._attempt(address, over)
                    task = tasks.create_task(attempt, name=f"connect {address[0]}")
                    self._attempts.append(task)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_HEAD_START_S):
                            await over.wait()
                    if self._winner:
                        break
        except BaseException:
            if self._winner:
                self._winner.close()
            raise
        if self._winner is None:
            raise self._errors[0]
        return self._winner

    async def _attempt(self, address: Address, over: asyncio.Event) -> None:
        try:
            sock = await self._connect(address)
        except OSError as error:
            self._errors.append(in_plain_words(error))
        else:
            self._win(sock)
        over.set()

    def _win(self, sock: socket.socket) -> None:
        self._winner = sock
        for attempt in self._attempts:
            if attempt is not asyncio.current_task():
                attempt.cancel()


async def _resolve(host: str, port: int) -> list[Address]:
    with suppress(ValueError):
        return [(str(ip_address(host)), port)]
    return _interleave([(str(address), port) for address in await look_up(host)])


def _interleave(addresses: Sequence[Address]) -> list[Address]:
    """Alternate the families, beginning with the resolver's first choice."""
    first_is_v6 = ":" in addresses[0][0]
    first = [address for address in addresses if (":" in address[0]) == first_is_v6]
    second = [address for address in addresses if (":" in address[0]) != first_is_v6]
    pairs = chain.from_iterable(zip_longest(first, second))
    return [address for address in pairs if address is not None]
