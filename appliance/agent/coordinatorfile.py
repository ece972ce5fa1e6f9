"""Makes this machine the coordinator of a mesh, by writing the settings that start one.

The agent writes one file and nothing else: systemd starts the coordinator when the file appears,
and the coordinator ends when it is gone (``appliance/units``). A settings file that the owner wrote
by hand is never touched, and while it exists ours is not written.
"""

import asyncio
import re
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError, CoordinatorNotRunningError
from appliance.host.errors import FileProblemError
from appliance.host.files import read_bounded, remove, write_atomic
from appliance.host.network import PRIVATE
from appliance.localapi.server import BackendError
from appliance.localapi.types import BeCoordinator, CoordinatorSettings
from appliance.protocol.addresses import IPAddress, IPNetwork, parse_network

OWNERS_FILE: Final = Path("/etc/latchkey/coordinator.toml")
ADMIN_GROUP: Final = "latchkey-admin"
DOMAIN: Final = "mesh.internal"
_MODE: Final = 0o640
_MAX_BYTES: Final = 64 * 1024

TAKEN_PORTS: Final = {80: "the setup page", 8443: "the relay"}
_MESH: Final = tuple(map(parse_network, ("100.64.0.0/10", "fd7a:115c:a1e0::/48")))
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

_TEMPLATE: Final = """\
# Written by Latchkey when this machine was made the coordinator of a mesh.
# To change more than this, move the file to /etc/latchkey/coordinator.toml and edit it there.
server_url = "{url}"
listen = ":{port}"
base_domain = "{domain}"
admin_group = "{group}"
"""


@dataclass(frozen=True, slots=True)
class Membership:
    """How this node stands to meshes, as far as it matters for being a coordinator."""

    mesh_url: str = ""
    """The coordinator that this node is logged in to; empty: none."""
    has_peers: bool = False
    addresses: Collection[IPAddress] = ()
    """This machine's own."""


class CoordinatorFile:
    """The settings file of a coordinator on this machine; every method blocks for the disk."""

    def __init__(
        self, path: Path, admin: Callable[[], AdminClient], owners: Path = OWNERS_FILE
    ) -> None:
        self._path = path
        self._admin = admin
        self._owners = owners

    def role(self, member: Membership) -> CoordinatorSettings:
        """Tell whether this machine is a coordinator, or may become one."""
        if self._owners.exists():
            return CoordinatorSettings(by_hand=True, reason=self._by_hand())
        url, domain = self._written()
        if url:
            return CoordinatorSettings(
                configured=True, server_url=url, base_domain=domain, reason="It is one already."
            )
        elsewhere = _elsewhere(member, "")
        return CoordinatorSettings(available=not elsewhere, reason=elsewhere)

    def write(self, request: BeCoordinator, member: Membership) -> CoordinatorSettings:
        """Write the file; the same again changes nothing."""
        if self._owners.exists():
            raise BackendError("conflict", self._by_hand())
        url, port = check_url(request.server_url, member.addresses)
        domain = check_domain(request.base_domain or DOMAIN, urlsplit(url).hostname or "")
        if self._written() == (url, domain):
            return self.role(member)
        if self._written()[0]:
            self._refuse_if_joined(member, "give its mesh another address or domain")
        elsewhere = _elsewhere(member, url)
        if elsewhere:
            raise BackendError("conflict", elsewhere)
        text = _TEMPLATE.format(url=url, port=port, domain=domain, group=ADMIN_GROUP)
        self._replace(text)
        return self.role(member)

    def delete(self, member: Membership) -> CoordinatorSettings:
        """Remove the file, unless other nodes depend on the coordinator."""
        if self._owners.exists():
            raise BackendError("conflict", self._by_hand())
        if self._written()[0]:
            self._refuse_if_joined(member, "stop being the coordinator")
        try:
            remove(self._path)
        except FileProblemError as error:
            raise BackendError("state-unusable", str(error)) from None
        return self.role(member)

    def _by_hand(self) -> str:
        return (
            f"This machine is a coordinator by {self._owners}, which its owner wrote: change that "
            "file instead."
        )

    def _written(self) -> tuple[str, str]:
        """Return the URL and the domain of our file; empty without one that can be read."""
        try:
            data = read_bounded(self._path, _MAX_BYTES)
            values = tomllib.loads(data.decode()) if data is not None else {}
        except (FileProblemError, ValueError):
            return "", ""
        return str(values.get("server_url", "")), str(values.get("base_domain", ""))

    def _refuse_if_joined(self, member: Membership, what: str) -> None:
        if member.has_peers or self._others():
            raise BackendError(
                "conflict",
                f"Other nodes have joined this machine's mesh, so it cannot {what}: they would "
                "lose it. Delete them first.",
            )

    def _others(self) -> bool:
        try:
            return len(self._admin().nodes().nodes) > 1
        except CoordinatorNotRunningError:
            return False  # it keeps what it knows, and has it again when it is made one again
        except AdminApiError as error:
            raise BackendError(
                "conflict", f"The coordinator cannot be asked who has joined: {error}"
            ) from None

    def _replace(self, text: str) -> None:
        directory = self._path.parent
        if not directory.is_dir():
            raise BackendError(
                "state-unusable",
                f"There is no {directory}, so no coordinator can start here. Install the package "
                "`latchkey`, which makes it.",
            )
        try:
            write_atomic(self._path, text.encode(), _MODE, group=directory.stat().st_gid)
        except FileProblemError as error:
            raise BackendError("state-unusable", str(error)) from None


class CoordinatorDesk:
    """The same for the event loop, one call after the other."""

    def __init__(self, file: CoordinatorFile, member: Callable[[], Membership]) -> None:
        self._file = file
        self._member = member
        self._lock = asyncio.Lock()

    async def role(self) -> CoordinatorSettings:
        """Tell whether this machine is a coordinator, or may become one."""
        return await asyncio.to_thread(self._file.role, self._member())

    async def write(self, request: BeCoordinator) -> CoordinatorSettings:
        """Become one."""
        async with self._lock:
            return await asyncio.to_thread(self._file.write, request, self._member())

    async def delete(self) -> CoordinatorSettings:
        """Stop being one."""
        async with self._lock:
            return await asyncio.to_thread(self._file.delete, self._member())


def check_url(text: str, own: Collection[IPAddress]) -> tuple[str, int]:
    """Return the URL in its plain form, and the port to listen on."""
    example = next((str(a) for a in own if a.version == 4 and _is_private(a)), "192.168.1.2")
    hint = f"Write it like http://{example}:8080."
    text = text.strip()
    try:
        if not text.isascii() or not text.isprintable():  # urlsplit drops what does not show
            raise ValueError  # noqa: TRY301
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _invalid(f"{text[:80]!r} is not an address. {hint}") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise _invalid(f"{text[:80]!r} is not an address that nodes can log in to. {hint}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _invalid(f"The address must end after the port: nodes drop what follows. {hint}")
    shown = f"[{host}]" if ":" in host else host
    _check_host(host, own, hint)
    if parts.scheme == "https":  # a proxy in front ends TLS
        return f"https://{shown}" + (f":{port}" if port else ""), 8080
    port = 80 if port is None else port
    if port in TAKEN_PORTS:
        raise _invalid(f"Port {port} of this machine belongs to {TAKEN_PORTS[port]}. {hint}")
    if not port:
        raise _invalid(f"0 is not a port. {hint}")
    return f"http://{shown}:{port}", port


def check_domain(text: str, host: str) -> str:
    """Return the mesh's domain in lower case."""
    domain = text.strip().rstrip(".").lower()
    labels = domain.split(".")
    if not 1 <= len(domain) <= 100 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid(f"{text[:80]!r} is not a domain. Write it like mesh.internal.")
    if host == domain or host.endswith(f".{domain}"):
        raise _invalid(
            f"{domain} contains the coordinator's own name {host}: nodes would look for it inside "
            "the mesh. Choose another domain."
        )
    return domain


def _check_host(host: str, own: Collection[IPAddress], hint: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise _invalid(f"{host[:80]!r} is not the name of a machine. {hint}") from None
        if labels[-1] == "localhost" or labels[-1].isdigit():
            raise _invalid(f"Other machines cannot find {host[:80]!r}. {hint}") from None
        return
    if any(_in(address, mesh) for mesh in _MESH):
        raise _invalid(f"{address} is inside the mesh, which nodes must join first. {hint}")
    if (
        address.is_loopback
        or address.is_unspecified
        or address.is_link_local
        or address.is_multicast
    ):
        raise _invalid(f"Other machines cannot find {address}. {hint}")
    if _is_private(address) and address not in own:
        raise _invalid(f"{address} is not an address of this machine. {hint}")


def _is_private(address: IPAddress) -> bool:
    return any(_in(address, network) for network in PRIVATE)


def _in(address: IPAddress, network: IPNetwork) -> bool:
    return address.version == network.version and address in network


def _elsewhere(member: Membership, url: str) -> str:
    if not member.mesh_url or member.mesh_url.rstrip("/") == url:
        return ""
    return (
        f"This machine is already in the mesh of {member.mesh_url}. Leave that mesh first "
        "(`latchkey logout`)."
    )


def _invalid(message: str) -> BackendError:
    return BackendError("invalid", message)
