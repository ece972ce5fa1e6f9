"""What to do so that a node's prefs and its membership become what is wanted. Pure."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .unixapi import ApiError

AUTO = "auto"
RUNNING = "Running"
NEEDS_LOGIN = "NeedsLogin"

FRESH: dict[str, Any] = {
    "control_url": "",
    "want_running": False,
    "logged_out": False,
    "hostname": "",
    "advertise_routes": [],
    "advertise_exit_node": False,
    "accept_routes": False,
    "exit_node": "",
    "exit_node_allow_lan_access": False,
    "snat_subnet_routes": True,
    "shields_up": False,
    "accept_dns": True,
}
"""A node that nobody has set up, for predictions where no agent is installed yet."""

MANAGED = ("control_url", "want_running", "logged_out")
"""Prefs that follow from ``state`` and ``login_server``."""


@dataclass(frozen=True)
class Standing:
    """How a node stands now."""

    prefs: Mapping[str, Any] = field(default_factory=lambda: dict(FRESH))
    logged_in: bool = False
    state: str = NEEDS_LOGIN

    @property
    def joined(self) -> bool:
        """Whether the coordinator admits the node as it is."""
        return self.logged_in and self.state != NEEDS_LOGIN

    @property
    def stopped(self) -> bool:
        """Whether the owner wants no connection."""
        return not self.prefs["want_running"]


def standing(status: Mapping[str, Any], prefs: Mapping[str, Any]) -> Standing:
    """Read the agent's answers to ``/status`` and ``/prefs``."""
    return Standing(prefs, bool(status.get("HaveNodeKey")), str(status.get("BackendState", "")))


def changes(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prefs to change; an unknown name or an unfit value is an ``ApiError``."""
    known = [name for name in present if name not in MANAGED]
    fitting = {name: _fit(name, value, present, known) for name, value in wanted.items()}
    return {name: value for name, value in fitting.items() if not _same(value, present[name])}


def check_mesh(now: Standing, login_server: str) -> None:
    """Refuse to take a node away from the mesh that it is part of."""
    home = str(now.prefs["control_url"])
    if now.logged_in and _bare(home) != _bare(login_server):
        raise ApiError(
            f"This host is already part of the mesh of {home}; `latchkey logout` there takes it "
            f"out, then it can join {login_server}.",
            "conflict",
        )


def check_key(now: Standing, auth_key: str) -> None:
    """Refuse to begin a login that would wait for a person."""
    if not now.joined and not auth_key:
        raise ApiError(
            "This host is not part of the mesh yet and there is no auth_key to join with; make one "
            "with latchkey.mesh.preauth_key.",
            "login-needed",
        )


def shown(prefs: Mapping[str, Any], *, joined: bool) -> dict[str, Any]:
    """Return one side of a diff; it holds no secret, because prefs hold none."""
    return {"joined": joined, **{name: prefs[name] for name in sorted(prefs)}}


def same_server(one: str, other: str) -> bool:
    """Whether two URLs name the same coordinator."""
    return _bare(one) == _bare(other)


def _bare(url: str) -> str:
    return url.strip().rstrip("/").lower()


def _fit(name: str, value: Any, present: Mapping[str, Any], known: list[str]) -> Any:
    if name not in known:
        raise ApiError(_unknown(name, known), "prefs-refused")
    kind = type(present[name])
    if kind is list and isinstance(value, (list, tuple)):
        return [_route(item) for item in value] if name == "advertise_routes" else list(value)
    if type(value) is not kind:
        raise ApiError(
            f"The pref {name!r} must be {_WORDS.get(kind, kind.__name__)}, not {value!r}.",
            "prefs-refused",
        )
    return value


_WORDS: dict[type, str] = {bool: "true or false", str: "text", list: "a list"}


def _unknown(name: str, known: list[str]) -> str:
    if name in MANAGED:
        return f"The pref {name!r} follows from `state` and `login_server`; set those."
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"It knows {', '.join(sorted(known))}."
    return f"This host's agent has no pref {name!r}. {hint}"


def _route(item: Any) -> str:
    if item == AUTO:
        return AUTO
    try:
        return str(ipaddress.ip_network(str(item)))
    except ValueError:
        raise ApiError(
            f"{str(item)[:60]!r} is not a subnet; write it as 192.168.1.0/24, with the bits after "
            "the prefix zero.",
            "route-malformed",
        ) from None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, (list, tuple)):
        return set(map(str, one)) == set(map(str, other))
    return bool(one == other)
