"""A policy file as values. Pure.

Understood: ``groups``, ``hosts``, ``tagOwners`` (its tags may be named), ``acls``, ``grants`` of
``ip``, and ``autoApprovers``. Any other key is refused: a rule that is silently left out is worse
than none. Upper and lower case do not matter in keys, as in the reference.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec

from appliance.coordinator.policy.errors import PolicyError, printable, shown
from appliance.coordinator.policy.hujson import Document, Path, parse_hujson
from appliance.coordinator.policy.names import (
    WITH_PORTS,
    Names,
    parse_login,
    parse_network,
    parse_ports,
    parse_protocol,
)
from appliance.coordinator.policy.rules import AutoApprovers, PolicyText, Rule, Target
from appliance.coordinator.policy.selectors import Anyone, Auto, Network, People, Selector, Tag
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import ANY_PORT, PortRange

T = TypeVar("T")

_KEYS: Final = ("groups", "hosts", "tagOwners", "acls", "grants", "autoApprovers")
_HOST: Final = re.compile(r"[^\s:@/\[\],*]+")
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")

_Texts = tuple[str, ...]
_Services = dict[tuple[int, ...], tuple[PortRange, ...]]


class _Acl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``acls`` as it is written."""

    action: str
    src: _Texts
    dst: _Texts
    proto: str = ""


class _Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``grants`` as it is written."""

    src: _Texts
    dst: _Texts
    ip: _Texts = ()


class _Approvers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """``autoApprovers`` as it is written."""

    routes: dict[str, _Texts] = {}
    exit_node: _Texts = ()


def parse_policy(text: str) -> PolicyText:
    """Read a policy file; an error says where, and what to write."""
    return _Reader(parse_hujson(text)).policy()


class _Reader:
    """Reads one document; it knows where it is, so that errors do."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._written: dict[str, str] = {}
        """The keys as they are written."""

    def policy(self) -> PolicyText:
        value = self._document.value
        if not isinstance(value, dict):
            raise self._document.error((), "the policy must be an object: { ... }.")
        for key in value:
            with self._at((key,)):
                self._written[_known_key(key, self._written)] = key
        names = Names(groups := self._groups(), self._hosts(), self._tags())
        rules: list[Rule] | None = None
        for key, read in (("acls", self._acl), ("grants", self._grant)):
            entries = self._section(key, tuple[dict[str, Any], ...])
            if entries is not None:
                rules = rules or []
                for number, entry in enumerate(entries):
                    rules += read(names, (self._written[key], number), entry)
        return PolicyText(None if rules is None else tuple(rules), self._approvers(names), groups)

    def _groups(self) -> Mapping[str, People]:
        found: dict[str, People] = {}
        for name, members in (self._section("groups", dict[str, _Texts]) or {}).items():
            path = (self._written["groups"], name)
            with self._at(path):
                if not name.startswith("group:"):
                    raise PolicyError(f"{shown(name)} is not a group's name: write group:NAME.")
            found[name] = People(frozenset(self._each(path, members, parse_login)))
        return found

    def _hosts(self) -> Mapping[str, IPNetwork]:
        found = {}
        for name, address in (self._section("hosts", dict[str, str]) or {}).items():
            with self._at((self._written["hosts"], name)):
                if not _HOST.fullmatch(name):
                    raise PolicyError(f"{shown(name)} is not a host's name: write it like printer.")
                found[name] = parse_network(address)
        return found

    def _tags(self) -> frozenset[str]:
        tags = self._section("tagOwners", dict[str, _Texts]) or {}
        for name in tags:
            with self._at((self._written["tagOwners"], name)):
                if not name.startswith("tag:") or name == "tag:":
                    raise PolicyError(f"{shown(name)} is not a tag: write tag:NAME.")
        return frozenset(tags)

    def _approvers(self, names: Names) -> AutoApprovers:
        written = self._section("autoApprovers", _Approvers) or _Approvers()
        path: Path = (self._written.get("autoApprovers", ""),)
        routes = {}
        for text, people in written.routes.items():
            with self._at((*path, "routes", text)):
                prefix = parse_network(text)
            routes[prefix] = self._each((*path, "routes", text), people, _approver(names))
        exit_node = self._each((*path, "exitNode"), written.exit_node, _approver(names))
        return AutoApprovers(routes, exit_node)

    def _acl(self, names: Names, path: Path, raw: dict[str, Any]) -> list[Rule]:
        entry = self._entry(path, raw, _Acl)
        with self._at((*path, "action")):
            if entry.action != "accept":
                raise PolicyError(f"action={shown(entry.action)} is not supported: only accept is.")
        with self._at((*path, "proto")):
            protocols = parse_protocol(entry.proto)
        sources = self._each((*path, "src"), entry.src, _source(names))
        targets = []
        for number, text in enumerate(entry.dst):
            with self._at((*path, "dst", number)):
                selector, ports = names.destination(text)
                _check_target(selector, sources, anyone_may_ask=True)
                if protocols not in WITH_PORTS and ports != (ANY_PORT,):
                    raise PolicyError(
                        f"proto {shown(entry.proto)} has no ports: write dst like host:*."
                    )
                targets.append(Target(selector, ports))
        return [Rule(sources, tuple(targets), protocols)]

    def _grant(self, names: Names, path: Path, raw: dict[str, Any]) -> list[Rule]:
        entry = self._entry(path, raw, _Grant)
        with self._at(path):
            if not entry.ip:
                raise PolicyError('a grant needs ip: write it like ["*"] or ["tcp:443"].')
        sources = self._each((*path, "src"), entry.src, _source(names))
        selectors = []
        for number, text in enumerate(entry.dst):
            with self._at((*path, "dst", number)):
                selector = names.selector(text)
                _check_target(selector, sources, anyone_may_ask=False)
                if isinstance(selector, Network) and selector.prefix.prefixlen == 0:
                    raise PolicyError(f"dst {shown(text)}: write * or autogroup:internet.")
                selectors.append(selector)
        services: _Services = {}
        for protocols, ports in self._each((*path, "ip"), entry.ip, _service):
            services[protocols] = (*services.get(protocols, ()), ports)
        return [
            Rule(sources, tuple(Target(selector, ports) for selector in selectors), protocols)
            for protocols, ports in services.items()
        ]

    def _each(self, path: Path, texts: _Texts, read: Callable[[str], T]) -> tuple[T, ...]:
        found: list[T] = []
        for number, text in enumerate(texts):
            with self._at((*path, number)):
                found.append(read(text))
        return tuple(found)

    def _entry(self, path: Path, raw: dict[str, Any], kind: type[T]) -> T:
        with self._at(path):
            written = _without_notes(raw)
        found: T = self._convert(path, written, kind)
        return found

    def _section(self, key: str, kind: Any) -> Any:
        written = self._written.get(key, key)
        return self._convert((written,), self._document.value.get(written), kind | None)

    def _convert(self, path: Path, value: Any, kind: Any) -> Any:
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$")
            inner = (int(n) if n else name for name, n in _STEP.findall(where))
            message = f"{path[0]} does not fit: {printable(what)}."
            raise self._document.error((*path, *inner), message) from None

    @contextmanager
    def _at(self, path: Path) -> Iterator[None]:
        try:
            yield
        except PolicyError as error:
            raise (error if error.line else self._document.error(path, str(error))) from None


def _known_key(key: str, seen: Mapping[str, str]) -> str:
    for known in _KEYS:
        if key.lower() == known.lower():
            if known in seen:
                raise PolicyError(f"{shown(key)} stands twice in the policy.")
            return known
    raise PolicyError(f"the policy has {shown(key)}, which this version does not understand.")


def _without_notes(raw: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with its keys in lower case; those that begin with # are notes."""
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if key.lower() in found:
            raise PolicyError(f"{shown(key)} stands twice in this entry.")
        if not key.startswith("#"):
            found[key.lower()] = value
    return found


def _source(names: Names) -> Callable[[str], Selector]:
    def read(text: str) -> Selector:
        source = names.selector(text)
        if source in (Auto.SELF, Auto.INTERNET):
            raise PolicyError(f"{shown(text)} can only be a destination.")
        return source

    return read


def _approver(names: Names) -> Callable[[str], Selector]:
    def read(text: str) -> Selector:
        who = names.selector(text)
        if isinstance(who, (Anyone, Network)) or who in (Auto.SELF, Auto.INTERNET):
            raise PolicyError(f"{shown(text)} cannot approve: name users, groups or tags.")
        return who

    return read


def _service(text: str) -> tuple[tuple[int, ...], PortRange]:
    """Read an entry of a grant's ``ip``: ``*``, ``443``, ``tcp:443``, ``icmp:*``."""
    protocol, colon, ports = text.rpartition(":")
    protocols = parse_protocol(protocol)
    if colon and not protocols:
        raise PolicyError(f"{shown(text)} names no protocol before the colon.")
    found = parse_ports(ports)
    if protocols not in WITH_PORTS and found != ANY_PORT:
        raise PolicyError(f"{shown(text)}: {protocol} has no ports: write {protocol}:*.")
    return protocols, found


def _check_target(
    selector: Selector, sources: tuple[Selector, ...], *, anyone_may_ask: bool
) -> None:
    if selector is not Auto.SELF:
        return
    for source in sources:
        wrong = isinstance(source, (Tag, Network)) or source is Auto.TAGGED
        if wrong or (isinstance(source, Anyone) and not anyone_may_ask):
            raise PolicyError(
                "autogroup:self can only be reached by users, groups or autogroup:member."
            )
