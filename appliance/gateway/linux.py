"""The gateway of a real Linux machine: nftables, routes and rules, kernel settings."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from appliance.gateway import conntrack, kernel, nft
from appliance.gateway.config import Flow, GatewayConfig, GatewayStatus
from appliance.gateway.errors import GatewayError, RulesetRefusedError
from appliance.gateway.filter import Allow, parse_filter
from appliance.gateway.generations import Block, Generation, render_removal
from appliance.gateway.knobs import Knobs
from appliance.gateway.marks import CT_TO_US
from appliance.gateway.neighbours.plan import Passage
from appliance.gateway.neighbours.service import Neighbours
from appliance.gateway.profile import (
    Line,
    Seen,
    Setting,
    forwarding_version,
    observe_profile,
    plan_profile,
)
from appliance.gateway.revocation import Verdicts
from appliance.gateway.routes import plan_routes, plan_rules
from appliance.gateway.ruleset import TABLE as FILTER_TABLE
from appliance.gateway.ruleset import plan_ruleset
from appliance.gateway.settings import Settings
from appliance.gateway.shortcut import (
    Shortcut,
    ShortcutKeeper,
    forwards_for_others,
    plan_shortcut,
)
from appliance.host import monitor
from appliance.host.capabilities import CAP_NET_ADMIN, has_capability
from appliance.host.errors import HostError
from appliance.host.netlink import NETLINK_NETFILTER, NETLINK_ROUTE
from appliance.host.rtmessages import RT_TABLE_MAIN
from appliance.host.rtnetlink import RtNetlink

_log = logging.getLogger(__name__)

T = TypeVar("T")

REPAIR_PAUSE_S: Final = 1.0
"""Somebody who keeps removing our rules gets one answer a second, not a race."""

PROFILE_CHECK_S: Final = 60.0
"""The kernel tells of changes of forwarding and interfaces; the other settings are looked at."""
NEIGHBOUR_RETRY_S: Final = 5.0
"""A firewall that refused, as firewalld does while it starts, is asked again that soon."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The ruleset that we loaded last, and how the kernel knows it."""

    config: GatewayConfig
    blocks: tuple[Block, ...]
    generation: Generation
    identity: nft.TableIdentity | None


class LinuxGateway:
    """Everything of ours in this network namespace (the ``Gateway`` contract)."""

    def __init__(self, settings_record: Path) -> None:
        """Take the file in which changed kernel settings are remembered until they are undone."""
        self._settings = Settings(settings_record)
        self._neighbours = Neighbours(settings_record.with_suffix(".neighbours.json"))
        self._shortcut = ShortcutKeeper()
        self._loaded: _Loaded | None = None
        self._judged: GatewayConfig | None = None
        self._cuts = False
        self._published = False
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
            monitor.ChangeBell(
                NETLINK_ROUTE, monitor.LINKS, monitor.IPV4_FORWARDING, monitor.IPV6_FORWARDING
            ) as settings,
        ):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._repair_after(tables), name="gateway guard: nftables")
                tasks.create_task(self._repair_after(routes), name="gateway guard: routes")
                tasks.create_task(self._keep_profile(settings), name="gateway guard: settings")

    async def observe(self) -> GatewayStatus:
        """Read what of ours the kernel really has."""
        return await asyncio.to_thread(kernel.observe)

    async def profile(self) -> tuple[Setting, ...]:
        """Read the host profile that the config in force needs; nothing before the first one."""
        config = self._config
        if config is None:
            return ()
        return (
            *await asyncio.to_thread(self.observe_settings, config),
            *await self._neighbours.observe(_passage(config)),
        )

    async def flows(self) -> tuple[Flow, ...]:
        """Read the connections that peers opened to us or through us, and that may go on."""
        return await asyncio.to_thread(conntrack.flows)

    async def clean_up(self) -> None:
        """Remove everything of ours, also what a crashed run left; the filter goes last."""
        _require_permission()
        async with self._lock:
            self._config = self._loaded = self._judged = None
            await self._neighbours.clean_up()
            self._shortcut.forget()  # it goes with the table
            await _to_its_end(self._remove_rest)
            if nft.identify() is not None:
                await nft.load(render_removal(FILTER_TABLE))

    async def _repair_after(self, bell: monitor.ChangeBell) -> None:
        while True:
            await bell.wait()
            async with self._lock:
                # Our own changes ring as well; then there is nothing to repair.
                if self._config is not None and await self._apply(self._config):
                    _log.warning("Something removed routes or filter rules of ours; put back")
            await asyncio.sleep(REPAIR_PAUSE_S)

    async def _keep_profile(self, bell: monitor.ChangeBell) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                refused = self._neighbours.have_refused
                async with asyncio.timeout(NEIGHBOUR_RETRY_S if refused else PROFILE_CHECK_S):
                    await bell.wait()
            async with self._lock:
                if (config := self._config) is not None:
                    await _to_its_end(partial(self._apply_settings, config))
                    await self._neighbours.apply(_passage(config))
                    await self._keep_shortcut(config)
            await asyncio.sleep(REPAIR_PAUSE_S)

    async def _apply(self, config: GatewayConfig) -> bool:
        if config != self._judged:
            await self._close_shortcut()
        loaded = await self._load_ruleset(config)
        await self._cut_revoked(config)
        changed = await _to_its_end(lambda: self._apply_rest(config))
        opened = await self._neighbours.apply(_passage(config))
        await self._keep_shortcut(config)
        return loaded or changed or opened

    async def _close_shortcut(self) -> None:
        """Have established connections go by our rules again, before these change."""
        if self._shortcut.present is None or not self._is_in_force():
            return  # what stands in our table's place will be replaced as a whole
        try:
            await self._shortcut.close()
        except RulesetRefusedError as error:
            _log.warning("The packet filter is replaced as a whole: %s", error)
            self._loaded = None
        else:
            self._take_note()

    async def _keep_shortcut(self, config: GatewayConfig) -> None:
        """Open the short way once connections are judged by the rules in force."""
        if not self._is_in_force():
            return
        wanted = None
        if forwards_for_others(config) and config == self._judged:
            wanted = await _to_its_end(partial(self._plan_shortcut, config))
        if wanted == self._shortcut.present:
            return
        await self._close_shortcut()
        if self._loaded is None:
            await self._load_ruleset(config)
        if wanted is not None and await self._shortcut.open(wanted):
            self._take_note()

    def _plan_shortcut(self, config: GatewayConfig) -> Shortcut | None:
        if self._neighbours.look_at_forwarded():
            return None
        try:
            with RtNetlink() as rtnetlink:
                main = rtnetlink.routes(RT_TABLE_MAIN)
                return plan_shortcut(config, rtnetlink.links(), main, rtnetlink.rules())
        except HostError as error:
            _log.warning("Connections take no short way: %s", error)
            return None

    def _take_note(self) -> None:
        """Know our table again after a change of ours, unless it is another one by now."""
        known, present = self._loaded, nft.identify()
        if known and known.identity and present and known.identity.handle == present.handle:
            self._loaded = replace(known, identity=present)

    async def _load_ruleset(self, config: GatewayConfig) -> bool:
        if (published := self._neighbours.hand_ports_on()) != self._published:
            self._published = published
            if self._loaded is not None:
                self._loaded = replace(self._loaded, blocks=())
        known = self._loaded
        if known and known.blocks and known.config == config and self._is_in_force():
            return False
        allows, ignored = parse_filter(config.filter or ())
        blocks = plan_ruleset(config, allows, cut=self._cuts, published=self._published)
        if self._loaded is not None and self._loaded.blocks == blocks and self._is_in_force():
            return False
        if ignored:
            _log.warning("The packet filter has %d entries that allow nothing", ignored)
        await self._load(config, blocks)
        return True

    async def _load(self, config: GatewayConfig, blocks: tuple[Block, ...]) -> None:
        """Put a ruleset in force; beside the one before, if that one is ours and whole."""
        await self._close_shortcut()
        before = self._loaded.generation if self._loaded and self._is_in_force() else None
        self._loaded = None  # until all is well, nothing is known
        if before is None:
            generation = await self._load_whole(blocks)
        else:
            generation = before.successor(blocks)
            try:
                await nft.load(generation.render_preparation())
                await nft.load(generation.render_switch(before))
            except RulesetRefusedError as error:
                _log.warning("The packet filter is replaced as a whole: %s", error)
                generation = await self._load_whole(blocks)
        self._loaded = _Loaded(config, blocks, generation, nft.identify())

    async def _load_whole(self, blocks: tuple[Block, ...]) -> Generation:
        generation = Generation.first(FILTER_TABLE, blocks)
        await nft.load(generation.render_whole())
        self._shortcut.forget()
        return generation

    async def _cut_revoked(self, config: GatewayConfig) -> None:
        """Have connections end that could not begin now."""
        if config == self._judged or config.filter is None:
            return
        allows, _ = parse_filter(config.filter)
        try:
            to_us = await _to_its_end(partial(_judge, config, allows))
        except HostError as error:
            _log.warning("Connections that are no longer allowed cannot be cut: %s", error)
            return
        if to_us and not self._cuts:
            blocks = plan_ruleset(config, allows, cut=True, published=self._published)
            await self._load(config, blocks)
        self._judged, self._cuts = config, to_us

    def _is_in_force(self) -> bool:
        return self._loaded is not None and nft.identify() == self._loaded.identity

    def _apply_rest(self, config: GatewayConfig) -> bool:
        try:
            with RtNetlink() as rtnetlink:
                links = rtnetlink.links()
                uplinks = kernel.uplinks(links, rtnetlink.routes(RT_TABLE_MAIN), config.interface)
                self._make_settings(config, uplinks)
                rules = plan_rules(config, kernel.families())
                rules_changed = kernel.apply_rules(rtnetlink, rules)
                tunnel = next((one for one in links if one.name == config.interface), None)
                index = tunnel.index if tunnel is not None and tunnel.is_up else None
                routes = plan_routes(config, index, kernel.families())
                return kernel.apply_routes(rtnetlink, routes) or rules_changed
        except HostError as error:
            raise GatewayError(str(error)) from error

    def _apply_settings(self, config: GatewayConfig) -> None:
        try:
            with RtNetlink() as rtnetlink:
                main = rtnetlink.routes(RT_TABLE_MAIN)
                self._make_settings(
                    config, kernel.uplinks(rtnetlink.links(), main, config.interface)
                )
        except HostError as error:
            _log.warning("The settings of the host cannot be checked: %s", error)

    def _make_settings(self, config: GatewayConfig, uplinks: tuple[str, ...]) -> None:
        wanted = plan_profile(config, uplinks, strict=kernel.is_strict())
        self._settings.apply(wanted, self._is_to_stay)

    def _is_to_stay(self, name: str) -> bool:
        """Return whether others rely on a setting by now, though we need it no more."""
        version = forwarding_version(name)
        return version is not None and self._neighbours.need_forwarding(version)

    def observe_settings(self, config: GatewayConfig) -> tuple[Setting, ...]:
        """Read the host profile that a config needs, whether it is in force or not."""
        try:
            with RtNetlink() as rtnetlink:
                links = rtnetlink.links()
                main = rtnetlink.routes(RT_TABLE_MAIN)
        except HostError as error:
            raise GatewayError(str(error)) from error
        uplinks = kernel.uplinks(links, main, config.interface)
        by_name = {link.name: link.mtu for link in links}
        seen = Seen(
            tuple(Line(name, by_name[name]) for name in uplinks),
            by_name.get(config.interface),
            nft.identify() is not None,
            self._settings.changed(),
            self._settings.refused,
        )
        wanted = plan_profile(config, uplinks, strict=kernel.is_strict())
        return observe_profile(config, wanted, Knobs().read, seen)

    def _remove_rest(self) -> None:
        try:
            self._settings.undo(self._is_to_stay)
            with RtNetlink() as rtnetlink:
                kernel.apply_rules(rtnetlink, frozenset())
                kernel.apply_routes(rtnetlink, frozenset())
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


def _judge(config: GatewayConfig, allows: tuple[Allow, ...]) -> bool:
    """Cut what is revoked, let go on what is allowed again; whether any cut one ends here."""
    verdicts = Verdicts(config, allows)
    judged = [(one, verdicts.allows(one.kind, one.flow)) for one in conntrack.entries()]
    revoked = [one for one, allowed in judged if not allowed]
    news = [one for one in revoked if not one.is_cut]
    conntrack.set_cut(news, cut=True)
    conntrack.set_cut((one for one, allowed in judged if allowed and one.is_cut), cut=False)
    if news:
        _log.info("Cut %d connections that are no longer allowed", len(news))
    return any(one.kind == CT_TO_US for one in revoked)


def _passage(config: GatewayConfig) -> Passage:
    return Passage(config.interface, config.listen_port)


def _require_permission() -> None:
    if not has_capability(CAP_NET_ADMIN):
        raise nft.not_permitted()
