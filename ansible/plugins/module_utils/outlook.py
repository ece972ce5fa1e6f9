"""What can be learnt of a host: its node, the routes of it, the coordinator on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from .membership import look
from .proof import facts_of, of_peers, own, shortfalls
from .unixapi import Api, ApiError, NotRunningError

PAUSE_S = 1.0
"""Between two looks at routes that are not as far as they should be."""
PROBE_TIMEOUT_S = 300.0
ALL = "all"


@dataclass(frozen=True)
class Requirement:
    """How far routes must have come, and how long to wait for it."""

    step: str
    of: str = "own"
    """``own`` or ``peers``."""
    routes: tuple[str, ...] = ()
    probe: tuple[str, ...] = ()
    timeout_s: float = 60.0


def node(api: Api) -> dict[str, Any]:
    """Describe the node; without an agent that is not a failure, but a fact."""
    try:
        now = look(api)
        status = api.get("/status")
    except NotRunningError as error:
        return {"running": False, "joined": False, "state": "", "problem": str(error)}
    me = status.get("Self", {})
    return {
        "running": True,
        "joined": now.joined,
        "state": now.state,
        "online": bool(status.get("ControlOnline")),
        "login_server": now.prefs["control_url"],
        "name": str(me.get("DNSName", "")).partition(".")[0],
        "fqdn": str(me.get("DNSName", "")).rstrip("."),
        "addresses": list(status.get("TailscaleIPs", ())),
        "prefs": dict(now.prefs),
        "health": list(status.get("Health", ())),
        "version": status.get("Version", ""),
    }


def coordinator(api: Api) -> dict[str, Any]:
    """Describe the coordinator; without one that is not a failure, but a fact."""
    try:
        status = api.get("/status")
        nodes = api.get("/nodes")["nodes"]
    except NotRunningError as error:
        return {"running": False, "problem": str(error)}
    kept = ("id", "name", "fqdn", "user", "tags", "addresses", "online", "expired", "routes")
    described = [{name: one[name] for name in kept} for one in nodes]
    return {"running": True, **status, "nodes": described}


def probe(api: Api, targets: Sequence[str]) -> None:
    """Send something through the routes of peers; that there are none is not a failure."""
    for target in targets:
        query = urlencode({"target": "" if target == ALL else target})
        try:
            api.post(f"/routes/probe?{query}", None, PROBE_TIMEOUT_S)
        except ApiError as error:
            if error.code != "doctor-route":
                raise


def routes(api: Api) -> dict[str, list[dict[str, Any]]]:
    """Return the facts of every route, this node's and those that it uses."""
    found = api.get("/routes").get("Routes", [])
    return {
        "routes": [facts_of(route) for route in own(found)],
        "peer_routes": [facts_of(route) for route in of_peers(found)],
    }


def await_routes(api: Api, wanted: Requirement) -> None:
    """Return once every route is as far as it must be; else say which is not, and why."""
    deadline = time.monotonic() + wanted.timeout_s
    while True:
        missing = _missing(api, wanted)
        if missing and wanted.probe:
            probe(api, wanted.probe)
            missing = _missing(api, wanted)
        if not missing:
            return
        if time.monotonic() > deadline:
            raise ApiError(f"After {wanted.timeout_s:g} s {'; '.join(missing)}.", "doctor-route")
        time.sleep(PAUSE_S)


def _missing(api: Api, wanted: Requirement) -> list[str]:
    found = api.get("/routes").get("Routes", [])
    mine = own(found) if wanted.of == "own" else of_peers(found)
    return shortfalls(mine, wanted.routes, wanted.step)


def await_coordinator(api: Api, timeout_s: float) -> None:
    """Return once the coordinator answers."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            api.get("/status")
        except NotRunningError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_S)
        else:
            return
