"""Makes a real agent: the drivers of this machine, its monitor, its control client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from appliance.agent.backend import Agent
from appliance.agent.control import open_control
from appliance.agent.plan.inputs import Surroundings
from appliance.agent.rooms import Rooms, Underlay
from appliance.agent.settings import DataplaneKind, Settings
from appliance.agent.standing import Standing
from appliance.agent.statefile import StateStore
from appliance.aio.latest import Latest
from appliance.dataplane.choose import choose_dataplane
from appliance.dataplane.discover import SEARCH_PATH, WireGuardGo, find_wireguard_go
from appliance.dataplane.driver import Dataplane
from appliance.dataplane.kernel import KernelDataplane
from appliance.dataplane.uapi import UapiDataplane
from appliance.dns.service import DnsService
from appliance.gateway.linux import LinuxGateway
from appliance.host.netmon import NetworkMonitor
from appliance.host.network import NetworkState
from appliance.peerapi.service import PeerApiService
from appliance.protocol.dns import Query
from appliance.underlay.config import UnderlayMemory
from appliance.underlay.service import UnderlayService

SETTINGS_RECORD: Final = "kernel-settings.json"
"""Where the gateway remembers how the machine's settings were."""
RESOLVER_RECORD: Final = "resolv-conf.json"
"""Where the machine's resolv.conf is kept while ours stands in its place."""


async def make_rooms(settings: Settings) -> Rooms:
    """Choose the drivers for this machine; a ``DataplaneError`` says what is missing."""
    return Rooms(
        dataplane=await _make_dataplane(settings),
        gateway=LinuxGateway(settings.state_dir / SETTINGS_RECORD),
        open_underlay=_open_underlay,
        dns=DnsService(settings.state_dir / RESOLVER_RECORD),
        peerapi=PeerApiService(_answer_for_peers()),
    )


@asynccontextmanager
async def open_agent(settings: Settings) -> AsyncIterator[Agent]:
    """Make the agent, and keep its sight of the network up to date inside the block."""
    store = StateStore(settings.state_dir)
    store.load()
    rooms = await make_rooms(settings)
    monitor = NetworkMonitor(settings.interface)
    around = Latest(surroundings_of(monitor.state.value))
    async with asyncio.TaskGroup() as tasks:
        watchers = [
            tasks.create_task(monitor.run(), name="network monitor"),
            tasks.create_task(_follow(monitor, around), name="surroundings"),
        ]
        try:
            yield Agent(Standing(settings, store, rooms, around, open_control))
        finally:
            for watcher in watchers:
                watcher.cancel()


def surroundings_of(state: NetworkState) -> Surroundings:
    """Sort the attached networks by what they are to the owner."""
    uplink = frozenset(network for one in state.uplinks for network in one.networks)
    return Surroundings(
        lan=state.lan_networks,
        uplink=uplink,
        internal=state.attached_networks - uplink,
        network=state,
    )


async def _follow(monitor: NetworkMonitor, around: Latest[Surroundings]) -> None:
    async for state in monitor.state.changes():
        around.set(surroundings_of(state))


async def _make_dataplane(settings: Settings) -> Dataplane:
    if settings.dataplane is DataplaneKind.KERNEL:
        return KernelDataplane(settings.interface)
    if settings.dataplane is DataplaneKind.USERSPACE:
        program = await asyncio.to_thread(_find_program, settings.wireguard_go)
        return UapiDataplane(settings.interface, program)
    return await choose_dataplane(settings.interface, settings.wireguard_go)


def _find_program(chosen: Path | None) -> WireGuardGo:
    return find_wireguard_go(chosen, tuple(SEARCH_PATH))


def _open_underlay(dataplane: Dataplane, memory: UnderlayMemory) -> Underlay:
    return UnderlayService(dataplane, memory)


def _answer_for_peers() -> Callable[[Query], Awaitable[bytes]]:
    """Answer by this host's own resolvers; they are looked at when somebody first asks."""
    loaded: list[Callable[[Query], Awaitable[bytes]]] = []

    async def answer(query: Query) -> bytes:
        if not loaded:
            from appliance.dns.os.resolvconf import PATH, read_servers
            from appliance.dns.resolver import HostAnswers

            loaded.append(HostAnswers(lambda: read_servers(PATH)).resolve)
        return await loaded[0](query)

    return answer
