"""Keeps the other firewalls of this host open for what our table admitted."""

import logging
from pathlib import Path
from typing import Final

from appliance.gateway.knobs import Knobs
from appliance.gateway.neighbours import firewalld, legacy
from appliance.gateway.neighbours.chains import Chain, ChainName, Rule, Tables
from appliance.gateway.neighbours.plan import (
    DOCKER,
    FIREWALLD,
    Passage,
    Place,
    hooked,
    places,
    plan_change,
)
from appliance.gateway.neighbours.tools import ToolError, carry_out, list_legacy, run
from appliance.gateway.profile import Setting, State
from appliance.gateway.ruleset import TABLE
from appliance.gateway.settings import Changed, Record, RecordFile
from appliance.host.errors import HostError, NetlinkError

_log = logging.getLogger(__name__)

_WANTED: Final = "lets pass what our table admitted"
_WHY: Final = "A packet that we admit must also pass the other firewalls of this host."


class Neighbours:
    """Everything of ours in other programs' rulesets.

    What a neighbour refuses is logged once and told by ``observe``; it is never an error, for the
    rest of the gateway works without it.
    """

    def __init__(self, record_file: Path, knobs: Knobs | None = None) -> None:
        """Take the file in which changes of firewalld are remembered until they are undone."""
        self._record_file = RecordFile(record_file, knobs or Knobs())
        self._problems: dict[str, str] = {}
        self._seen_names: set[str] = set()
        """Where we have been let in."""

    @property
    def have_refused(self) -> bool:
        """Whether something could not be opened at the last attempt."""
        return bool(self._problems)

    async def apply(self, passage: Passage) -> bool:
        """Change only what differs; say whether something of ours had been taken away."""
        chains, rules = await _read_all(passage)
        problems: dict[str, str] = {}
        repaired = await self._apply_firewalld(passage, chains, rules, problems)
        for place in _places(chains, rules, passage, with_firewalld=FIREWALLD in problems):
            change = plan_change(place, rules.get(place.chain, ()))
            if change is None:
                continue
            name = neighbour_of(place, rules)
            try:
                await carry_out(change)
            except ToolError as error:
                problems[str(place.chain)] = f"{name}: {error}."
                continue
            repaired = repaired or str(place.chain) in self._seen_names
            self._greet(str(place.chain), name, is_open=bool(change.add))
        self._take_problems(problems)
        return repaired

    async def clean_up(self) -> None:
        """Take back everything of ours, also what a crashed run left."""
        chains, rules = await _read_all(None)
        for chain, of_chain in rules.items():
            change = plan_change(Place(chain, ()), of_chain)
            if change is None:
                continue
            try:
                await carry_out(change)
            except ToolError as error:
                _log.warning("Rules of ours stay in %s: %s", chain, error)
        try:
            await self._clean_up_firewalld(chains)
        except HostError as error:
            _log.warning("What firewalld was asked for cannot be taken back: %s", error)
        self._problems, self._seen_names = {}, set()

    async def observe(self, passage: Passage) -> tuple[Setting, ...]:
        """Read which firewalls there are, and whether they are open for us."""
        chains, rules = await _read_all(passage)
        found = [self._observe_firewalld(passage, rules)] if firewalld.is_here(chains) else []
        for place in _places(chains, rules, passage, with_firewalld=FIREWALLD in self._problems):
            if place.entries:
                is_open = plan_change(place, rules.get(place.chain, ())) is None
                problem = self._problems.get(str(place.chain), "")
                name = f"{neighbour_of(place, rules)} ({place.chain})"
                found.append(_setting(name, problem, is_open=is_open))
        return tuple(found)

    def need_forwarding(self, version: int) -> bool:
        """Whether a program on this host relies on forwarding: Docker, for its containers.

        It always has a network of IPv4; one of IPv6 shows in its address translation.
        """
        family = "ip" if version == 4 else "ip6"
        users, nat = ChainName(family, "filter", DOCKER), ChainName(family, "nat", "POSTROUTING")
        chains, rules = _read(None, extra=nat)
        return any(chain.name == users for chain in chains) and bool(rules.get(nat))

    def hand_ports_on(self) -> bool:
        """Whether somebody gives ports of this machine to others, as Docker publishes them."""
        return any(chain.hands_on and chain.name.table != TABLE for chain in _read_chains())

    def look_at_forwarded(self) -> bool:
        """Whether somebody else's chains decide about each packet that is forwarded."""
        if legacy.is_in_use():
            return True
        chains = [one for one in _read_chains() if one.name.table != TABLE and one.meets_forwarded]
        return any(
            one.drops or bool(_read(None, extra=one.name)[1].get(one.name)) for one in chains
        )

    async def _apply_firewalld(
        self,
        passage: Passage,
        chains: list[Chain],
        rules: dict[ChainName, tuple[Rule, ...]],
        problems: dict[str, str],
    ) -> bool:
        if not firewalld.is_here(chains):
            return False
        seen = firewalld.observe(rules, passage.interface)
        try:
            return await self._step_by_step(passage, seen)
        except (ToolError, HostError) as error:
            problems[FIREWALLD] = f"firewalld: {str(error).rstrip('.')}."
            return False

    async def _step_by_step(self, passage: Passage, seen: firewalld.Seen) -> bool:
        record = self._record_file.load()
        changed = dict(record.changed)
        repaired = False
        for step in _outdated(record, passage):
            await _take_back(step, seen)
            del changed[_name(step)]
            self._record_file.save(Record(record.boot_id, changed))
        for step in firewalld.plan(seen, passage):
            repaired = repaired or _name(step) in changed
            # Remembered before it is done, so that a crash in between loses nothing.
            changed[_name(step)] = Changed("", step.interface or str(step.port))
            self._record_file.save(Record(record.boot_id, changed))
            await run(*step.command("add"))
            self._greet(_name(step), FIREWALLD, is_open=True)
        return repaired

    async def _clean_up_firewalld(self, chains: list[Chain]) -> None:
        """Take back what is recorded, without a look first: an order may still be on its way."""
        steps = [_step(name, one) for name, one in self._record_file.load().changed.items()]
        if firewalld.is_here(chains):
            for step in steps:
                try:
                    await run(*step.command("remove"))
                except ToolError as error:
                    _log.debug("firewalld has no %s of ours: %s", _name(step), error)
        self._record_file.remove()

    def _observe_firewalld(
        self, passage: Passage, rules: dict[ChainName, tuple[Rule, ...]]
    ) -> Setting:
        seen = firewalld.observe(rules, passage.interface)
        if seen.zone_of_tunnel not in (None, firewalld.TRUSTED):
            return Setting(
                FIREWALLD,
                _WANTED,
                f"{passage.interface} is in zone {seen.zone_of_tunnel}",
                State.WRONG,
                _WHY,
                "Its rules hold for the mesh too; to leave that to the mesh's policy run "
                f"`firewall-cmd --zone={firewalld.TRUSTED} "
                f"--change-interface={passage.interface}`.",
            )
        is_open = not firewalld.plan(seen, passage)
        return _setting(FIREWALLD, self._problems.get(FIREWALLD, ""), is_open=is_open)

    def _greet(self, place: str, name: str, *, is_open: bool) -> None:
        if is_open and place not in self._seen_names:
            _log.info("%s is on this host: it now lets pass what our filter admits", name)
            self._seen_names.add(place)
        elif not is_open:
            self._seen_names.discard(place)

    def _take_problems(self, problems: dict[str, str]) -> None:
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                _log.warning("%s What our filter admits may be dropped there.", problem)
        self._problems = problems


def neighbour_of(place: Place, rules: dict[ChainName, tuple[Rule, ...]]) -> str:
    """Return the name of the program whose chain it is, as far as it can be told."""
    if place.chain.table == FIREWALLD:
        return FIREWALLD
    if place.chain.name.startswith("DOCKER"):
        return "Docker"
    jumps = {rule.jump for rule in rules.get(place.chain, ())}
    if any(jump.startswith(("ufw-", "ufw6-")) for jump in jumps):
        return "ufw"
    if any(jump.startswith("DOCKER") for jump in jumps):
        return "Docker"
    return "iptables" if place.is_iptables else "nftables"


async def _read_all(
    passage: Passage | None,
) -> tuple[list[Chain], dict[ChainName, tuple[Rule, ...]]]:
    """Read nftables, and the tables from before it where there are any."""
    chains, rules = _read(passage)
    for family in legacy.families():
        try:
            more_chains, more_rules = await list_legacy(family)
        except ToolError as error:
            _log.debug("The legacy tables cannot be read: %s", error)
            continue
        chains += more_chains
        rules |= {name: more_rules.get(name, ()) for name in hooked(more_chains)}
    return chains, rules


def _read_chains() -> list[Chain]:
    """Read all chains; none where there is no nftables."""
    return _read(None, only_chains=True)[0]


def _read(
    passage: Passage | None, extra: ChainName | None = None, *, only_chains: bool = False
) -> tuple[list[Chain], dict[ChainName, tuple[Rule, ...]]]:
    """Read all chains, and the rules of those that matter; nothing where there is no nftables."""
    try:
        tables = Tables()
    except NetlinkError:
        return [], {}
    try:
        chains = tables.chains()
        names = [] if only_chains else hooked(chains)
        if passage is not None:
            names += firewalld.to_read(chains)
        if extra is not None and any(chain.name == extra for chain in chains):
            names.append(extra)
        return chains, {name: tables.rules(name) for name in dict.fromkeys(names)}
    except NetlinkError as error:
        _log.debug("Other programs' chains cannot be read: %s", error)
        return [], {}
    finally:
        tables.close()


def _places(
    chains: list[Chain],
    rules: dict[ChainName, tuple[Rule, ...]],
    passage: Passage,
    *,
    with_firewalld: bool,
) -> list[Place]:
    """Return the places of ours; firewalld's table is none while firewalld itself can be asked."""
    return [
        place
        for place in places(chains, rules, passage)
        if place.chain.table != FIREWALLD or (with_firewalld and not place.is_owned)
    ]


def _setting(name: str, problem: str, *, is_open: bool) -> Setting:
    if is_open:
        return Setting(name, _WANTED, "open", State.REPAIRED, _WHY)
    if problem:
        return Setting(name, _WANTED, "closed", State.REFUSED, _WHY, problem)
    fix = "Start Latchkey, which opens it."
    return Setting(name, _WANTED, "closed", State.WRONG, _WHY, fix)


def _name(step: firewalld.Step) -> str:
    return f"{step.zone} {'interface' if step.interface else 'port'}"


def _step(name: str, changed: Changed) -> firewalld.Step:
    zone, _, kind = name.partition(" ")
    if kind == "interface":
        return firewalld.Step(zone, interface=changed.ours)
    return firewalld.Step(zone, port=int(changed.ours) if changed.ours.isdecimal() else 0)


def _outdated(record: Record, passage: Passage) -> list[firewalld.Step]:
    """Return what an earlier config of ours needed: another port, another name."""
    steps = [_step(name, one) for name, one in record.changed.items()]
    wanted = (passage.interface, passage.listen_port)
    return [step for step in steps if step.interface != wanted[0] and step.port != wanted[1]]


async def _take_back(step: firewalld.Step, seen: firewalld.Seen) -> None:
    if firewalld.is_there(step, seen):
        await run(*step.command("remove"))
