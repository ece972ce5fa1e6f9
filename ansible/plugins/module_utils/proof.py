"""Whether a node's routes are as far as they should be. Pure.

A route comes about in four steps, and the agent has evidence for each: *advertised* by its router,
*approved* by the coordinator, *serving* (the machine is ready), *proven* (something went through
and came back).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .roster import EXIT

STEPS = ("advertised", "approved", "serving", "proven")


def own(routes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the routes that this node carries itself."""
    return [route for route in routes if not route.get("Router")]


def of_peers(routes: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the routes that this node uses of others."""
    return [route for route in routes if route.get("Router")]


def shortfalls(routes: Iterable[Mapping[str, Any]], wanted: Sequence[str], step: str) -> list[str]:
    """Say of each wanted route why it has not come as far as ``step``; empty: all have."""
    known: dict[str, Mapping[str, Any]] = {}
    for better in sorted(routes, key=_reached):  # of two routers of one subnet that one counts
        known[better["Prefix"]] = better
    found = []
    for prefix in wanted or list(known):
        route = known.get(prefix)
        if route is None:
            found.append(f"{_called(prefix)} is not advertised: nobody offers it here")
        elif (missing := _first_missing(route, step)) is not None:
            evidence = str(route[missing.capitalize()].get("Evidence", "")).rstrip(".")
            found.append(f"{_called(prefix)} is not {missing}: {evidence}")
    return found


def facts_of(route: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route as the module's result shows it."""
    facts = {step: bool(route[step.capitalize()]["Ok"]) for step in STEPS}
    evidence = {step: str(route[step.capitalize()].get("Evidence", "")) for step in STEPS}
    router = str(route.get("Router", ""))
    return {"prefix": route["Prefix"], "router": router, **facts, "evidence": evidence}


def _first_missing(route: Mapping[str, Any], step: str) -> str | None:
    upto = STEPS[: STEPS.index(step) + 1]
    return next((name for name in upto if not route[name.capitalize()]["Ok"]), None)


def _reached(route: Mapping[str, Any]) -> int:
    missing = _first_missing(route, STEPS[-1])
    return len(STEPS) if missing is None else STEPS.index(missing)


def _called(prefix: str) -> str:
    return "the exit node" if prefix == EXIT else prefix
