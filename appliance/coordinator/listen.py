"""Listening sockets and the certificate: what may fail before anything is served."""

import errno
import os
import socket
import ssl

from appliance.coordinator.errors import StartError
from appliance.coordinator.settings import TlsSettings
from appliance.exit_status import ExitStatus

_BACKLOG = 512


def open_listener(host: str, port: int) -> socket.socket:
    """Bind a TCP socket; an empty host is every address of both families."""
    try:
        return _bind(host, port)
    except OSError as error:
        raise _cannot_listen(error, host, port) from None


def load_tls(settings: TlsSettings) -> ssl.SSLContext | None:
    """Read the certificate; ``None`` when this coordinator speaks plain HTTP."""
    if not settings.cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The node knows whether it has AES in hardware; an embedded relay gains a tenth by it.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    renew_tls(context, settings)
    return context


def renew_tls(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Read the certificate again, for the connections to come."""
    try:
        context.load_cert_chain(settings.cert, settings.key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error.reason if isinstance(error, ssl.SSLError) else error
        raise StartError(
            f"The certificate {settings.cert} with the key {settings.key} cannot be used: "
            f"{reason}. Check that both exist, belong together, and may be read by this user.",
            ExitStatus.CERTIFICATE_UNREADABLE,
        ) from None


def _bind(host: str, port: int) -> socket.socket:
    if host:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _listening(family, address)
    if socket.has_dualstack_ipv6():
        try:
            return _listening(socket.AF_INET6, ("::", port))
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    return _listening(socket.AF_INET, ("0.0.0.0", port))


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != "::")
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _cannot_listen(error: OSError, host: str, port: int) -> StartError:
    where = f"{host or 'every address'}, port {port}"
    if error.errno == errno.EADDRINUSE:
        return StartError(
            f"Another program listens on {where}. Stop it (`ss -ltnp` names it), or set listen.",
            ExitStatus.PORT_IN_USE,
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StartError(
            f"This user may not listen on {where}. Start with the service unit (it has "
            "CAP_NET_BIND_SERVICE), or choose a port above 1023.",
            ExitStatus.NOT_ROOT,
        )
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
    return StartError(
        f"Cannot listen on {where}: {reason}. Set listen to an address of this machine.",
        ExitStatus.CONFIG_WRONG,
    )
