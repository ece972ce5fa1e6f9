"""The gateway of a real Linux machine: nftables, routes and rules, kernel settings."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from appliance.gateway import nft
from appliance.gateway.config import GatewayConfig, GatewayStatus
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import parse_filter
from appliance.gateway.routes import PROTOCOL, TABLE, plan_routes, plan_rules
from appliance.gateway.ruleset import render_removal, render_ruleset
from appliance.gateway.settings import FORWARD_V4, FORWARD_V6, Settings, plan_settings
from appliance.host import monitor, sysctl
from appliance.host.capabilities import CAP_NET_ADMIN, has_capability
from appliance.host.errors import HostError
from appliance.host.netlink import NETLINK_NETFILTER, NETLINK_ROUTE
from appliance.host.rtmessages import RT_TABLE_MAIN, RTN_THROW, RTN_UNICAST, Link, Route, Rule
from appliance.host.rtnetlink import RtNetlink

_log = logging.getLogger(__name__)

T = TypeVar("T")

REPAIR_PAUSE_S: Final = 1.0
"""Somebody who keeps removing our rules gets one answer a second, not a race."""

_DONE_ALREADY: Final = frozenset({errno.EEXIST, errno.ESRCH, errno.ENOENT})
"""Somebody was quicker: the route is there, or gone, as we wanted."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The ruleset that we loaded last, and how the kernel knows it."""

    config: GatewayConfig
    text: str
    identity: nft.TableIdentity | None


class LinuxGateway:
    """Everything of ours in this network namespace (the ``Gateway`` contract)."""

    def __init__(self, settings_record: Path) -> None:
        """Take the file in which changed kernel settings are remembered until they are undone."""
        self._settings = Settings(settings_record)
        self._loaded: _Loaded | None = None
        self._config: GatewayConfig | None = None
        self._lock = asyncio.Lock()

    async def apply(self, config: GatewayConfig) -> None:
        """Change only what differs: first the filter, last the ways through it."""
        _require_permission()
        async with self._lock:
            await self._apply(config)
            self._config = config

    async def guard(self) -> None:
        """Put back at once what others take away (``nft flush ruleset``, a network manager)."""
        groups = (
            monitor.IPV4_RULES,
            monitor.IPV6_RULES,
            monitor.IPV4_ROUTES,
            monitor.IPV6_ROUTES,
        )
        with (
            monitor.ChangeBell(NETLINK_NETFILTER, monitor.NFTABLES) as tables,
            monitor.ChangeBell(NETLINK_ROUTE, *groups) as routes,
        ):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._repair_after(tables), name="gateway guard: nftables")
                tasks.create_task(self._repair_after(routes), name="gateway guard: routes")

    async def observe(self) -> GatewayStatus:
        """Read what of ours the kernel really has."""
        return await asyncio.to_thread(_observe)

    async def clean_up(self) -> None:
        """Remove everything of ours, also what a crashed run left; the filter goes last."""
        _require_permission()
        async with self._lock:
            self._config = self._loaded = None
            await _to_its_end(self._remove_rest)
            if nft.identify() is not None:
                await nft.load(render_removal())

    async def _repair_after(self, bell: monitor.ChangeBell) -> None:
        while True:
            await bell.wait()
            async with self._lock:
                # Our own changes ring as well; then there is nothing to repair.
                if self._config is not None and await self._apply(self._config):
                    _log.warning("Something removed routes or filter rules of ours; put back")
            await asyncio.sleep(REPAIR_PAUSE_S)

    async def _apply(self, config: GatewayConfig) -> bool:
        loaded = await self._load_ruleset(config)
        changed = await _to_its_end(lambda: self._apply_rest(config))
        return loaded or changed

    async def _load_ruleset(self, config: GatewayConfig) -> bool:
        if self._loaded is not None and self._loaded.config == config and self._is_in_force():
            return False
        allows, ignored = parse_filter(config.filter or ())
        text = render_ruleset(config, allows)
        if self._loaded is not None and self._loaded.text == text and self._is_in_force():
            return False
        if ignored:
            _log.warning("The packet filter has %d entries that allow nothing", ignored)
        await nft.load(text)
        self._loaded = _Loaded(config, text, nft.identify())
        return True

    def _is_in_force(self) -> bool:
        return self._loaded is not None and nft.identify() == self._loaded.identity

    def _apply_rest(self, config: GatewayConfig) -> bool:
        try:
            with RtNetlink() as rtnetlink:
                links = rtnetlink.links()
                uplinks = _uplinks(links, rtnetlink.routes(RT_TABLE_MAIN), config.interface)
                self._settings.apply(plan_settings(config, uplinks))
                rules_changed = _apply_rules(rtnetlink, plan_rules(config.fwmark, _families()))
                tunnel = next((one for one in links if one.name == config.interface), None)
                index = tunnel.index if tunnel is not None and tunnel.is_up else None
                routes = plan_routes(config, index, _families())
                return _apply_routes(rtnetlink, routes) or rules_changed
        except HostError as error:
            raise GatewayError(str(error)) from error

    def _remove_rest(self) -> None:
        try:
            self._settings.undo()
            with RtNetlink() as rtnetlink:
                _apply_rules(rtnetlink, frozenset())
                _apply_routes(rtnetlink, frozenset())
        except HostError as error:
            raise GatewayError(str(error)) from error


async def _to_its_end(work: Callable[[], T]) -> T:
    """Work in a thread; who is cancelled meanwhile waits for its end, for it cannot be stopped."""
    working = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


def _apply_rules(rtnetlink: RtNetlink, wanted: frozenset[Rule]) -> bool:
    present = _our_rules(rtnetlink)
    refused = rtnetlink.change_rules(remove=present - wanted, add=wanted - present)
    for rule, error in refused:
        if error.errno not in _DONE_ALREADY:
            raise GatewayError(f"The kernel refused policy rule {rule.priority}: {error}.")
    return present != wanted


def _apply_routes(rtnetlink: RtNetlink, wanted: frozenset[Route]) -> bool:
    present = _our_routes(rtnetlink)
    refused = rtnetlink.change_routes(remove=present - wanted, add=wanted - present)
    for route, error in refused:
        if error.errno not in _DONE_ALREADY:
            raise GatewayError(f"The kernel refused the route to {route.destination}: {error}.")
    return present != wanted


def _our_rules(rtnetlink: RtNetlink) -> frozenset[Rule]:
    return frozenset(rule for rule in rtnetlink.rules() if rule.protocol == PROTOCOL)


def _our_routes(rtnetlink: RtNetlink) -> frozenset[Route]:
    return frozenset(_plain(route) for route in rtnetlink.routes(TABLE))


def _plain(route: Route) -> Route:
    """Leave out the loopback interface that IPv6 names in a route to nowhere."""
    if route.kind == RTN_UNICAST:
        return route
    return replace(route, link=0)


def _observe() -> GatewayStatus:
    with RtNetlink() as rtnetlink:
        rules = _our_rules(rtnetlink)
        routes = _our_routes(rtnetlink)
    return GatewayStatus(
        ruleset=nft.identify() is not None,
        rules=len(rules),
        routes=frozenset(r.destination for r in routes if r.kind == RTN_UNICAST),
        local_networks=frozenset(r.destination for r in routes if r.kind == RTN_THROW),
        forwarding_ipv4=sysctl.read(FORWARD_V4) == "1",
        forwarding_ipv6=sysctl.read(FORWARD_V6) not in (None, "0"),
    )


def _uplinks(links: list[Link], main: list[Route], tunnel: str) -> tuple[str, ...]:
    """Return the interfaces that may hear an IPv6 router: real ones, and what leads out."""
    leads_out = {route.link for route in main if route.destination.prefixlen == 0}
    return tuple(
        sorted(
            link.name
            for link in links
            if link.name not in ("lo", tunnel) and (link.kind is None or link.index in leads_out)
        )
    )


def _families() -> tuple[int, ...]:
    """Return the address families that this kernel has switched on."""
    if sysctl.read(FORWARD_V6) is None:
        return (socket.AF_INET,)
    return (socket.AF_INET, socket.AF_INET6)


def _require_permission() -> None:
    if not has_capability(CAP_NET_ADMIN):
        raise nft.not_permitted()
