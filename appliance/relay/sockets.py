"""Bound sockets, or a sentence about why there is none.

``[::]`` listens for both families; on a host without IPv6 it means ``0.0.0.0``.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import AddrPort
from appliance.relay.errors import PortError

BACKLOG: Final = 1024
"""Connections that wait in the kernel while a thousand nodes come back at once."""


def listen_tcp(address: AddrPort) -> socket.socket:
    """Listen on a TCP port, without blocking."""
    sock = _bind(address, socket.SOCK_STREAM)
    sock.listen(BACKLOG)
    return sock


def bind_udp(address: AddrPort) -> socket.socket:
    """Bind a UDP port, without blocking."""
    return _bind(address, socket.SOCK_DGRAM)


def _bind(address: AddrPort, kind: socket.SocketKind) -> socket.socket:
    if isinstance(address.ip, IPv6Address) and int(address.ip) == 0 and not _has_ipv6():
        address = AddrPort(IPv4Address(0), address.port)
    family = socket.AF_INET if address.ip.version == 4 else socket.AF_INET6
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((str(address.ip), address.port))
    except OSError as error:
        sock.close()
        raise _explain(address, kind, error) from None
    return sock


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _explain(address: AddrPort, kind: socket.SocketKind, error: OSError) -> PortError:
    port = f"{'TCP' if kind is socket.SOCK_STREAM else 'UDP'} port {address.port}"
    if error.errno == errno.EADDRINUSE:
        return PortError(f"{port} is in use by another program: stop that, or listen elsewhere.")
    if error.errno in (errno.EACCES, errno.EPERM):
        problem = PortError(
            f"{port} needs the right to bind it: run as root, or with CAP_NET_BIND_SERVICE."
        )
        problem.status = ExitStatus.NOT_ROOT
        return problem
    if error.errno == errno.EADDRNOTAVAIL:
        return PortError(
            f"{address.ip} is not an address of this machine: listen on [::] or on one."
        )
    return PortError(f"Cannot listen on {address} ({port}): {error.strerror}.")
