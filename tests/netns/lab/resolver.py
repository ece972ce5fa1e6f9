"""The lab's name servers, and how its hosts look names up."""

from __future__ import annotations

import re
import sys
from typing import Final

from tests.netns.lab import namespaces
from tests.netns.lab.host import Host
from tests.netns.lab.programs import Program
from tests.netns.lab.web import SCRIPTS

_ASKED: Final = re.compile(r"^asked (\S+) (\d+) by (\S+) over (udp|tcp)$", re.MULTILINE)
_LOOK_UP: Final = (
    "import socket, sys\n"
    "try: print(socket.gethostbyname(sys.argv[1]))\n"
    "except OSError as error: print('no answer:', error)\n"
)


class NameServer:
    """A name server on a host; every name that it was not given is at its own address."""

    def __init__(self, host: Host, **known: str) -> None:
        self.host = host
        pairs = [f"{name}={address}" for name, address in known.items()]
        command = [sys.executable, str(SCRIPTS / "resolver.py"), host.ip, *pairs]
        self.program: Program = host.start("resolver", command)
        self.program.wait_for_line("serving")

    def asked(self, name: str) -> list[str]:
        """Who asked for this name, by address, in order."""
        return [who for found, _, who, _ in self._queries() if found == name.lower()]

    def transports(self, name: str) -> list[str]:
        """How this name was asked for."""
        return [how for found, _, _, how in self._queries() if found == name.lower()]

    def names(self) -> set[str]:
        """Every name that was asked for."""
        return {found for found, _, _, _ in self._queries()}

    def _queries(self) -> list[tuple[str, str, str, str]]:
        return [
            (n.lower(), kind, who, how) for n, kind, who, how in _ASKED.findall(self.program.text())
        ]


def set_name_server(host: Host, *servers: str) -> None:
    """What the host's DHCP server would have told it; running programs see it too."""
    resolv_conf_of(host, "".join(f"nameserver {server}\n" for server in servers))


def resolv_conf_of(host: Host, text: str | None = None) -> str:
    """The host's resolv.conf, written anew if a text is given."""
    file = namespaces.ETC_NETNS / host.namespace / "resolv.conf"
    if text is not None:
        file.write_text(text, encoding="ascii")
    return file.read_text(encoding="ascii")


def forget_hosts_file(host: Host) -> None:
    """Leave the host nothing but its name servers to find the others by."""
    file = namespaces.ETC_NETNS / host.namespace / "hosts"
    file.write_text("127.0.0.1 localhost\n", encoding="ascii")


def look_up(host: Host, name: str, timeout_s: float = 30) -> str:
    """What the C library finds on this host: an address, or `no answer: ...`."""
    return host.run([sys.executable, "-c", _LOOK_UP, name], timeout_s=timeout_s).strip()
