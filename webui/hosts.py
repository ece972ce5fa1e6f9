"""Under which names and addresses the page may be opened.

A foreign page could point its own name at this box (DNS rebinding) and so become its own origin;
its requests then carry a ``Host`` that is none of ours.
"""

import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import psutil

from webui.store import boot_seconds

KEPT_S: Final = 10.0
"""How long the list is taken as true: an address that has just been given works soon."""

MAX_LABEL: Final = 63
"""Of a DNS name between two dots (RFC 1035)."""

_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")


def name_of(host: str) -> str | None:
    """Return the name or address of a ``Host`` header, in lower case; ``None``: malformed."""
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    name = match["name"].lower().removesuffix(".")
    fits = all(0 < len(label) <= MAX_LABEL for label in name.split("."))
    return name.strip("[]") if fits else None


def with_default_port(host: str, scheme: str) -> str:
    """Return ``host:port``, so that two spellings of the same place compare equal."""
    has_port = re.search(r":\d+$", host) is not None and not host.endswith("]")
    return host.lower() if has_port else f"{host.lower()}:{443 if scheme == 'https' else 80}"


@dataclass(frozen=True, slots=True)
class Known:
    """What this machine is called at one moment."""

    hostname: str
    addresses: tuple[IPv4Address | IPv6Address, ...]

    def names(self) -> frozenset[str]:
        """Return every name of its own; an mDNS name may have got a number."""
        return frozenset({"localhost", self.hostname, f"{self.hostname}.local"})

    def has(self, name: str) -> bool:
        """Whether a name or an address is this machine."""
        try:
            return ip_address(name) in self.addresses
        except ValueError:
            numbered = re.fullmatch(r"(.+?)-\d{1,3}\.local", name)
            return name in self.names() or bool(numbered and numbered[1] == self.hostname)

    def lan_addresses(self) -> tuple[IPv4Address, ...]:
        """Return those that a browser in the LAN may use."""
        tailnet = IPv4Address("100.64.0.0"), IPv4Address("100.127.255.255")
        return tuple(
            address
            for address in self.addresses
            if isinstance(address, IPv4Address)
            and not address.is_loopback
            and not address.is_link_local
            and not tailnet[0] <= address <= tailnet[1]
        )


def observe_known() -> Known:
    """Ask the machine."""
    found = [
        ip_address(entry.address.partition("%")[0])
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6)
    ]
    hostname = socket.gethostname().partition(".")[0].lower()
    return Known(hostname, tuple(dict.fromkeys(found)))


class OwnNames:
    """The list of names, looked up anew every few seconds."""

    def __init__(
        self,
        extra: tuple[str, ...] = (),
        observe: Callable[[], Known] = observe_known,
        mesh_name: Callable[[], str] = lambda: "",
        now: Callable[[], float] = boot_seconds,
    ) -> None:
        self._extra = extra
        self._observe = observe
        self._mesh_name = mesh_name
        self._now = now
        self._lock = threading.Lock()
        self._known: tuple[float, Known] | None = None
        self._mesh: tuple[float, str] | None = None

    def known(self) -> Known:
        """Return what the machine is called, at most some seconds old."""
        with self._lock:
            now = self._now()
            if self._known is None or now - self._known[0] >= KEPT_S:
                self._known = (now, self._observe())
            return self._known[1]

    def allows(self, host: str) -> bool:
        """Whether a ``Host`` header names this box."""
        name = name_of(host)
        if not name:
            return False
        return name in self._extra or self.known().has(name) or name in self._mesh_names()

    def is_extra(self, host: str) -> bool:
        """Whether a host is one that the settings name, like that of a proxy in front."""
        return name_of(host) in self._extra

    def addresses(self, port: str) -> tuple[str, ...]:
        """Return where a browser in the LAN finds the page, the name first."""
        known = self.known()
        suffix = "" if port in ("80", "") else f":{port}"
        hosts = [f"{known.hostname}.local", *map(str, known.lan_addresses())]
        return tuple(f"http://{host}{suffix}" for host in hosts)

    def _mesh_names(self) -> frozenset[str]:
        with self._lock:
            now = self._now()
            if self._mesh is None or now - self._mesh[0] >= KEPT_S:
                self._mesh = (now, self._mesh_name().rstrip(".").lower())
            full = self._mesh[1]
        return frozenset({full, full.partition(".")[0]}) if full else frozenset()
