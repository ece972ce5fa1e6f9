"""Makes a node's prefs and its membership what they should be, over its Local API.

Everything that can be refused without a change is looked at first; a join that fails is taken
back, so that a second try begins where the first one did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .unixapi import Api, ApiError, NotRunningError
from .wishes import (
    FRESH,
    RUNNING,
    Standing,
    changes,
    check_key,
    check_mesh,
    same_server,
    shown,
    standing,
)

WATCH_S = 5.0
"""How long one question for progress waits."""


@dataclass(frozen=True)
class Wish:
    """What is wanted of a node."""

    state: str
    """``present``, ``joined``, ``stopped`` or ``left``."""
    prefs: Mapping[str, Any]
    login_server: str = ""
    auth_key: str = field(default="", repr=False)
    timeout_s: float = 90.0


@dataclass(frozen=True)
class Outcome:
    """What came of it, or what would."""

    changed: bool
    before: dict[str, Any]
    after: dict[str, Any]
    state: str
    warnings: tuple[str, ...] = ()


def settle(api: Api, wish: Wish, *, check: bool) -> Outcome:
    """Do what is wanted, or only say what would be done."""
    now, warnings = _look(api, check=check)
    delta = changes(now.prefs, wish.prefs)
    if wish.state == "joined":
        delta |= _joining(now, wish, check=check)
    elif wish.state in ("stopped", "left"):
        delta |= _leaving(now, logged_out=wish.state == "left")
    joined = wish.state == "joined" or (now.joined and wish.state != "left")
    before = shown(now.prefs, joined=now.joined)
    after = shown({**now.prefs, **delta}, joined=joined)
    changed = before != after
    if changed and not check:
        _carry_out(api, now, wish, delta)
    state = now.state if check else str(api.get("/status")["BackendState"])
    return Outcome(changed, before, after, state, warnings)


def look(api: Api) -> Standing:
    """Ask how a node stands."""
    return standing(api.get("/status"), api.get("/prefs"))


def _look(api: Api, *, check: bool) -> tuple[Standing, tuple[str, ...]]:
    try:
        return look(api), ()
    except NotRunningError as error:
        if not check:
            raise
        return Standing(dict(FRESH)), (f"{error} Taken for a node that nobody has set up.",)


def _joining(now: Standing, wish: Wish, *, check: bool) -> dict[str, Any]:
    if not wish.login_server:
        raise ApiError("Say with login_server which coordinator to join.", "usage")
    check_mesh(now, wish.login_server)
    if not check:
        check_key(now, wish.auth_key)
    present = str(now.prefs["control_url"])
    url = present if same_server(present, wish.login_server) else wish.login_server
    wanted = {"control_url": url, "want_running": True, "logged_out": False}
    return {name: value for name, value in wanted.items() if now.prefs[name] != value}


def _leaving(now: Standing, *, logged_out: bool) -> dict[str, Any]:
    delta: dict[str, Any] = {"want_running": False} if now.prefs["want_running"] else {}
    if logged_out and now.logged_in:
        delta["logged_out"] = True
    return delta


def _carry_out(api: Api, now: Standing, wish: Wish, delta: dict[str, Any]) -> None:
    if wish.state == "joined" and (now.stopped or not now.joined):
        _join(api, now, wish, delta)
        return
    left = {name: value for name, value in delta.items() if name != "logged_out"}
    running = left.pop("want_running", None)
    if left:
        api.call("PATCH", "/prefs", left)
    if "logged_out" in delta:
        api.post("/logout")
    elif running is False:
        api.post("/down")


def _join(api: Api, now: Standing, wish: Wish, delta: dict[str, Any]) -> None:
    """Connect and wait for it; after a failure the prefs are what they were."""
    prefs = {k: v for k, v in delta.items() if k not in ("want_running", "logged_out")}
    request = {
        "prefs": prefs,
        "auth_key": "" if now.joined else wish.auth_key,
        "force_reauth": now.logged_in and not now.joined,
    }
    progress = api.post("/up", request)
    try:
        _wait(api, progress, wish.timeout_s)
    except ApiError as error:
        _take_back(api, now, prefs, error)
        raise


def _wait(api: Api, progress: dict[str, Any], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while progress["state"] != RUNNING:
        failure = progress.get("failure")
        if failure:
            raise ApiError(str(failure["message"]), str(failure["code"]))
        if progress.get("auth_url"):
            raise ApiError(
                "The coordinator did not take the key and asks for a person to log in.",
                "login-needed",
            )
        left = deadline - time.monotonic()
        if left <= 0:
            raise ApiError(
                f"Not connected after {timeout_s:g} s: the agent is still {progress['state']}.",
                "timeout",
            )
        wait_s = min(WATCH_S, left)
        progress = api.get("/watch", wait_s + 10, after=progress["seq"], timeout=wait_s)


def _take_back(api: Api, now: Standing, prefs: dict[str, Any], why: ApiError) -> None:
    try:
        left = look(api)
        if not left.stopped:  # it would go on trying; after a refusal it has stopped by itself
            api.post("/down")
        kept = {"control_url"} if left.logged_in else set()
        api.call("PATCH", "/prefs", {k: now.prefs[k] for k in prefs if k not in kept})
    except ApiError as error:
        raise ApiError(f"{why} The prefs could not be put back: {error}", why.code) from None
