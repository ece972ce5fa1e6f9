"""The word to the service manager (sd_notify).

One datagram of ``NAME=value`` lines to the socket that NOTIFY_SOCKET names; an ``@`` at its start
stands for the abstract namespace. Source: sd_notify(3), systemd 257.
"""

import logging
import socket

_log = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager how we are; does nothing without one."""

    def __init__(self, address: str | None) -> None:
        """Take the value of NOTIFY_SOCKET, None when it is unset."""
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    def ready(self) -> None:
        """Start-up is complete."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in ``systemctl status``."""
        self._send("STATUS=" + text.replace("\n", " "))

    def watchdog(self) -> None:
        """We are alive."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """We are about to stop."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto(line.encode(), self._address)
            except OSError as error:
                _log.warning("The service manager was not told %r: %s", line, error.strerror)
