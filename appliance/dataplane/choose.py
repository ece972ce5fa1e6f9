"""Which driver this machine gets."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from appliance.dataplane.discover import SEARCH_PATH, find_wireguard_go
from appliance.dataplane.driver import Dataplane
from appliance.dataplane.kernel import KernelDataplane, kernel_has_wireguard
from appliance.dataplane.uapi import UapiDataplane


async def choose_dataplane(
    interface: str,
    wireguard_go: Path | None = None,
    directories: Iterable[Path] = SEARCH_PATH,
) -> Dataplane:
    """Take the kernel's WireGuard where there is one, else the best wireguard-go.

    ``wireguard_go`` is the owner's choice; it wins over the kernel. Raises ``NoWireGuardError``.
    """
    if wireguard_go is None and await asyncio.to_thread(kernel_has_wireguard):
        return KernelDataplane(interface)
    program = await asyncio.to_thread(find_wireguard_go, wireguard_go, tuple(directories))
    return UapiDataplane(interface, program)
