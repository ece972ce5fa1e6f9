"""Probes between boxes: whether and as whom one reaches another, and talks that go on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.boxes import PATIENT_S, QUICK_S, Box


@contextmanager
def tcp_server(box: Box, address: str, port: int) -> Iterator[None]:
    """Tell every caller the address it was seen with."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with box.inside():
        listener = socket.create_server((address, port), family=family)

    def serve() -> None:
        while True:
            try:
                connection, caller = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(caller[0].encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def seen_from(box: Box, address: str, port: int) -> str:
    """Connect and return the address that the server saw."""
    with box.inside(), socket.create_connection((address, port), PATIENT_S) as connection:
        return connection.recv(100).decode()


def is_blocked(box: Box, address: str, port: int) -> bool:
    """Whether nothing answers to a connection."""
    with box.inside():
        try:
            socket.create_connection((address, port), QUICK_S).close()
        except OSError:
            return True
    return False


def udp_arrives(client: Box, address: str, server: Box) -> str | None:
    """Send a datagram to a fresh socket; the address that it came from, None if it did not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.inside():
        listener = socket.socket(family, socket.SOCK_DGRAM)
        listener.bind((address, 0))
        listener.settimeout(QUICK_S)
    with client.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender, listener:
        sender.sendto(b"hello", listener.getsockname()[:2])
        try:
            return str(listener.recvfrom(100)[1][0])
        except TimeoutError:
            return None


@dataclass
class Talk:
    """Two ends of a stream of datagrams or of a connection."""

    client: socket.socket
    server: socket.socket
    caller: tuple[str, int]

    def goes(self) -> bool:
        """Whether words get through to the server."""
        return self._passes(self.client, self.server, None)

    def comes(self) -> bool:
        """Whether words get through to the client."""
        return self._passes(self.server, self.client, self.caller)

    def _passes(
        self, sender: socket.socket, receiver: socket.socket, address: tuple[str, int] | None
    ) -> bool:
        receiver.settimeout(QUICK_S)
        try:
            if address is not None and sender.type == socket.SOCK_DGRAM:
                sender.sendto(b"word", address)
            else:
                sender.send(b"word")
            return receiver.recv(100) != b""
        except (TimeoutError, ConnectionError, PermissionError):
            return False


@contextmanager
def talk(kind: int, client: Box, server: Box, address: str) -> Iterator[Talk]:
    """A conversation that has begun, with an answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with ExitStack() as stack:
        with server.inside():
            listener = stack.enter_context(socket.socket(family, kind))
        listener.bind((address, 0))
        with client.inside():
            mine = stack.enter_context(socket.socket(family, kind))
        mine.settimeout(PATIENT_S)
        if kind == socket.SOCK_STREAM:
            listener.listen()
            mine.connect(listener.getsockname()[:2])
            theirs, caller = listener.accept()
            stack.enter_context(theirs)
        else:
            mine.connect(listener.getsockname()[:2])
            mine.send(b"hello")
            listener.settimeout(PATIENT_S)
            theirs, caller = listener, listener.recvfrom(100)[1]
        made = Talk(mine, theirs, caller[:2])
        assert made.comes()
        assert made.goes()
        yield made
