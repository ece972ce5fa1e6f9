"""What to do so that a node is at the coordinator as it is wanted. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .unixapi import ApiError

EXIT = "exit"
_DEFAULTS = frozenset({"0.0.0.0/0", "::/0"})


@dataclass(frozen=True)
class Wanted:
    """What a node is to be; ``None`` leaves a thing as it is."""

    name: str | None = None
    tags: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    only_these: bool = False
    """Whether every other approval is taken away."""


@dataclass(frozen=True)
class Edit:
    """What has to change; empty parts stay as they are."""

    name: str | None = None
    tags: tuple[str, ...] | None = None
    approve: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Edit()


def plan(node: Mapping[str, Any] | None, wanted: Wanted) -> Edit:
    """Compare what the coordinator says of a node with what is wanted; ``None``: not there yet."""
    name = wanted.name if node is None or wanted.name != node["name"] else None
    tags = _tags(wanted.tags)
    if node is not None and tags is not None and set(tags) == set(node["tags"]):
        tags = None
    if wanted.routes is None:
        return Edit(name=name, tags=tags)
    routes = prefixes(wanted.routes)
    approved = approved_of(node)
    extra = approved - routes if wanted.only_these else frozenset()
    return Edit(name, tags, approve=_sorted(routes - approved), revoke=_sorted(extra))


def approved_of(node: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the routes that a node may carry."""
    routes: Sequence[Mapping[str, Any]] = () if node is None else node["routes"]
    return frozenset(route["prefix"] for route in routes if route["approved"])


def shown(node: Mapping[str, Any] | None, edit: Edit | None = None) -> dict[str, Any]:
    """Return one side of a diff: the node now, or as it will be."""
    edit = edit or Edit()
    approved = (approved_of(node) | set(edit.approve)) - set(edit.revoke)
    return {
        "name": edit.name or (node["name"] if node else ""),
        "tags": sorted(edit.tags if edit.tags is not None else node["tags"] if node else ()),
        "approved": list(_sorted(approved)),
    }


def prefixes(texts: Iterable[str]) -> frozenset[str]:
    """Return routes in canonical form; ``exit`` and either default route mean both defaults."""
    found: set[str] = set()
    for text in texts:
        prefix = EXIT if text == EXIT else _canonical(text)
        found |= _DEFAULTS if prefix == EXIT or prefix in _DEFAULTS else {prefix}
    return frozenset(found)


def _canonical(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise ApiError(
            f"{text[:60]!r} is not a route; write it as 192.168.1.0/24, or exit.",
            "route-malformed",
        ) from None


def _tags(tags: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if tags is None or not tags:
        return None
    return tuple(sorted({tag if tag.startswith("tag:") else f"tag:{tag}" for tag in tags}))


def _sorted(routes: Iterable[str]) -> tuple[str, ...]:
    def order(text: str) -> tuple[int, int, int]:
        network = ipaddress.ip_network(text)
        return network.version, int(network.network_address), network.prefixlen

    return tuple(sorted(routes, key=order))
