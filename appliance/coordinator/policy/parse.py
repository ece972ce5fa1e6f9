"""A policy file as values. Pure.

Understood today: ``groups``, ``hosts``, ``tagOwners`` (its tags may be named) and ``acls``. Any
other key is refused: a rule that is silently left out is worse than none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final, TypeVar

import msgspec

from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.hujson import parse_hujson
from appliance.coordinator.policy.selectors import Anyone, Auto, Network, People, Selector, Tag
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import ANY_PORT, PortRange

_KEYS: Final = ("groups", "hosts", "tagOwners", "acls")

_PROTOCOLS: Final[Mapping[str, tuple[int, ...]]] = {
    "": (),
    "icmp": (1,),
    "igmp": (2,),
    "ipv4": (4,),
    "ip-in-ip": (4,),
    "tcp": (6,),
    "egp": (8,),
    "igp": (9,),
    "udp": (17,),
    "gre": (47,),
    "esp": (50,),
    "ah": (51,),
    "ipv6-icmp": (58,),
    "sctp": (132,),
    "fc": (133,),
}
_WITH_PORTS: Final = frozenset({(), (6,), (17,), (132,)})

T = TypeVar("T")


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of ``acls`` as it is written."""

    action: str
    src: tuple[str, ...]
    dst: tuple[str, ...]
    proto: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A destination and its ports."""

    selector: Selector
    ports: tuple[PortRange, ...]


@dataclass(frozen=True, slots=True)
class Acl:
    """Sources that may reach targets; without protocols: TCP, UDP and ICMP."""

    sources: tuple[Selector, ...]
    targets: tuple[Target, ...]
    protocols: tuple[int, ...] = ()


def parse_policy(text: str) -> tuple[Acl, ...] | None:
    """Read a policy file; ``None``: it has no ``acls``, so everything is allowed."""
    document = parse_hujson(text)
    if not isinstance(document, dict):
        raise PolicyError("the policy must be an object: { ... }.")
    for key in document:
        if key not in _KEYS:
            raise PolicyError(f"the policy has {key!r}, which this version does not understand.")
    if document.get("acls") is None:
        return None
    names = _Names(
        _read(document, "groups", dict[str, tuple[str, ...]]) or {},
        _read(document, "hosts", dict[str, str]) or {},
        frozenset(_read(document, "tagOwners", dict[str, Any]) or {}),
    )
    entries = _read(document, "acls", tuple[dict[str, Any], ...]) or ()
    return tuple(_acl(names, entry) for entry in entries)


class _Names:
    """What a policy gives names to."""

    def __init__(
        self, groups: Mapping[str, tuple[str, ...]], hosts: Mapping[str, str], tags: frozenset[str]
    ) -> None:
        self._tags = tags
        self._hosts = {name: _network(text) for name, text in hosts.items()}
        self._groups = {name: _group(name, members) for name, members in groups.items()}

    def selector(self, text: str) -> Selector:
        """Read a selector without ports."""
        if text == "*":
            return Anyone()
        if text.startswith("autogroup:"):
            return _auto(text)
        if text.startswith("group:"):
            return _lookup(self._groups, text, "group")
        if text.startswith("tag:"):
            if text not in self._tags:
                raise PolicyError(f"{text!r} is not in tagOwners.")
            return Tag(text)
        if "@" in text:
            return People(frozenset({_login(text)}))
        if text in self._hosts:
            return Network(self._hosts[text])
        return Network(_network(text))


def _acl(names: _Names, raw: dict[str, Any]) -> Acl:
    written = {key: value for key, value in raw.items() if not key.startswith("#")}
    try:
        entry = msgspec.convert(written, _Entry)
    except msgspec.ValidationError as error:
        raise PolicyError(f"an entry of acls does not fit: {error}.") from None
    if entry.action != "accept":
        raise PolicyError(f"action={entry.action!r} is not supported: only accept is.")
    protocols = _protocols(entry.proto)
    sources = tuple(names.selector(text) for text in entry.src)
    for source in sources:
        if source in (Auto.SELF, Auto.INTERNET):
            raise PolicyError(f"{source.value!r} can only be a destination.")
    targets = tuple(_target(names, text) for text in entry.dst)
    if protocols not in _WITH_PORTS and any(t.ports != (ANY_PORT,) for t in targets):
        raise PolicyError(f"proto {entry.proto!r} has no ports: write dst like host:*.")
    if any(t.selector is Auto.SELF for t in targets):
        _check_self(sources)
    return Acl(sources, targets, protocols)


def _check_self(sources: tuple[Selector, ...]) -> None:
    if any(isinstance(s, (Tag, Network)) or s is Auto.TAGGED for s in sources):
        raise PolicyError(
            "autogroup:self can only be reached by users, groups or autogroup:member."
        )


def _target(names: _Names, text: str) -> Target:
    host, colon, ports = text.rpartition(":")
    if not colon or host in ("autogroup", "group", "tag"):
        raise PolicyError(f"dst={text!r} has no ports: write it like {text}:* or {text}:22.")
    bare = host.removeprefix("[").removesuffix("]")
    if bare.startswith("[") or "]/" in host:
        bare = host.replace("[", "").replace("]", "")
    return Target(names.selector(bare), tuple(_ports(part) for part in ports.split(",")))


def _ports(text: str) -> PortRange:
    if text == "*":
        return ANY_PORT
    first, dash, last = text.partition("-")
    numbers = [first, last if dash else first]
    if not all(n.isascii() and n.isdigit() and len(n) <= 5 and 0 < int(n) < 65536 for n in numbers):
        raise PolicyError(f"port range {text!r}: write *, 22, 80,443 or 1000-2000.")
    if int(numbers[0]) > int(numbers[1]):
        raise PolicyError(f"port range {text!r} ends before it begins.")
    return PortRange(first=int(numbers[0]), last=int(numbers[1]))


def _protocols(text: str) -> tuple[int, ...]:
    known = _PROTOCOLS.get(text)
    if known is not None:
        return known
    if text.isascii() and text.isdigit() and text == str(int(text[:4])) and int(text) < 256:
        return (int(text),)
    raise PolicyError(f"proto {text!r} is not a protocol's name or number.")


def _auto(text: str) -> Auto:
    try:
        return Auto(text)
    except ValueError:
        known = ", ".join(auto.value for auto in Auto)
        raise PolicyError(f"{text!r} is not known; there are {known}.") from None


def _group(name: str, members: tuple[str, ...]) -> People:
    if not name.startswith("group:"):
        raise PolicyError(f"{name!r} is not a group's name: write group:{name}.")
    return People(frozenset(_login(member) for member in members))


def _login(text: str) -> str:
    """Read ``alice@`` as the local user alice, and any other name with an ``@`` as it stands."""
    if "@" not in text or text.startswith("group:"):
        raise PolicyError(f"{text!r} is not a user: write alice@ or alice@example.org.")
    return text.removesuffix("@")


def _network(text: str) -> IPNetwork:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise PolicyError(
            f"{text!r} is no host, address or network; users are written with an @, like alice@."
        ) from None


def _lookup(table: Mapping[str, T], name: str, what: str) -> T:
    if name not in table:
        raise PolicyError(f"there is no {what} {name!r} in the policy.")
    return table[name]


def _read(document: dict[str, Any], key: str, kind: Any) -> Any:
    try:
        return msgspec.convert(document.get(key), kind | None)
    except msgspec.ValidationError as error:
        raise PolicyError(f"{key} does not fit: {error}.") from None
