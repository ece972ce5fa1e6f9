"""What this machine says of itself in its Hostinfo, and what its resolver says of others."""

import asyncio
import platform
import socket

from appliance.aio.names import look_up
from appliance.protocol.addresses import IPAddress
from appliance.protocol.tailcfg import Hostinfo
from appliance.version import VERSION

_GO_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm"}
"""The architecture names that coordinators know."""


def describe_machine() -> Hostinfo:
    """Read the machine's name, system and architecture."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    machine = platform.machine()
    return Hostinfo(
        ipn_version=f"{VERSION}-latchkey",
        os="linux",
        os_version=platform.release(),
        distro=release.get("ID", ""),
        distro_version=release.get("VERSION_ID", ""),
        distro_code_name=release.get("VERSION_CODENAME", ""),
        hostname=socket.gethostname().partition(".")[0],
        machine=machine,
        go_arch=_GO_ARCH.get(machine, machine),
    )


_RESOLVE_TIMEOUT_S = 2.0


async def resolve(host: str) -> frozenset[IPAddress]:
    """Return the addresses of a host; none when it is unknown or the resolver is slow."""
    try:
        async with asyncio.timeout(_RESOLVE_TIMEOUT_S):
            return frozenset(await look_up(host))
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
