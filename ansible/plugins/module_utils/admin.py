"""Makes users, keys and nodes at the coordinator what they should be, over its admin API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .roster import Edit, Wanted, plan, shown
from .unixapi import Api, ApiError, NotRunningError, part

EMPTY = "Taken for a coordinator that nobody has joined."


@dataclass(frozen=True)
class Outcome:
    """What came of it, or what would; ``before`` and ``after`` hold no secret."""

    changed: bool
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_result(self) -> dict[str, Any]:
        """Return what a module answers, as ``run`` takes it."""
        return {
            "changed": self.changed,
            "diff": {"before": self.before, "after": self.after},
            "warnings": self.warnings,
            **self.result,
        }


@dataclass(frozen=True)
class KeyTerms:
    """Whom a new pre-auth key admits."""

    user: str
    tags: tuple[str, ...] = ()
    reusable: bool = False
    ephemeral: bool = False
    lifetime_s: int = 600


def settle_user(api: Api, name: str, display_name: str, *, wanted: bool, check: bool) -> Outcome:
    """Have a user, or have none of that name."""
    users, warnings = _ask(api, "/users", "users", check=check)
    user = next((user for user in users if user["name"] == name), None)
    before = {} if user is None else {"name": name, "display_name": user["display_name"]}
    after = (before or {"name": name, "display_name": display_name or name}) if wanted else {}
    changed = bool(before) != wanted
    if changed and not check:
        if wanted:
            api.post("/users", {"name": name, "display_name": display_name})
        else:
            api.call("DELETE", f"/users/{part(name)}")
    return Outcome(changed, before, after, warnings=warnings)


def make_key(api: Api, terms: KeyTerms, unless_node: str, *, check: bool) -> Outcome:
    """Make a key, unless the mesh has the node that it is for."""
    nodes, warnings = _ask(api, "/nodes", "nodes", check=check)
    node = find(nodes, unless_node) if unless_node else None
    if node is not None and not node["expired"]:
        return Outcome(changed=False)
    after = {
        "user": terms.user,
        "tags": sorted(terms.tags),
        "reusable": terms.reusable,
        "ephemeral": terms.ephemeral,
        "lifetime": terms.lifetime_s,
    }
    if check:
        users, _ = _ask(api, "/users", "users", check=True)
        if not warnings and terms.user not in {user["name"] for user in users}:
            warnings = (f"There is no user {terms.user!r} yet.",)
        return Outcome(changed=True, after=after, warnings=warnings)
    body = {
        "user": terms.user,
        "tags": terms.tags,
        "reusable": terms.reusable,
        "ephemeral": terms.ephemeral,
        "lifetime_s": terms.lifetime_s,
    }
    made = api.post("/preauthkeys", body)
    result = {"key": made["key"], "id": made["id"], "expires": made["expires"]}
    return Outcome(changed=True, after=after, result=result)


def revoke_key(api: Api, identifier: str, *, check: bool) -> Outcome:
    """Make a key useless, if it is not."""
    keys, warnings = _ask(api, "/preauthkeys", "keys", check=check)
    usable = any(key["id"] == identifier and key["usable"] for key in keys)
    if usable and not check:
        api.post(f"/preauthkeys/{part(identifier)}/revoke")
    before = {"id": identifier} if usable else {}
    return Outcome(usable, before, warnings=warnings)


def settle_node(api: Api, ref: str, wanted: Wanted, *, check: bool) -> Outcome:
    """Name, tag and approve a node; it must have joined, except for a prediction."""
    nodes, warnings = _ask(api, "/nodes", "nodes", check=check)
    node = find(nodes, ref)
    if node is None:
        if not check:
            raise ApiError(_unknown(ref, nodes), "not-found")
        warnings = (*warnings, f"There is no node {ref!r} yet; it is taken for one that joins.")
    edit = plan(node, wanted)
    if edit and node is not None and not check:
        _edit(api, str(node["id"]), edit)
    before, after = shown(node), shown(node, edit)
    return Outcome(bool(edit), before, after, _described(node), warnings)


def delete_node(api: Api, ref: str, *, check: bool) -> Outcome:
    """Have no such node."""
    nodes, warnings = _ask(api, "/nodes", "nodes", check=check)
    node = find(nodes, ref)
    if node is None:
        return Outcome(changed=False, warnings=warnings)
    if not check:
        api.call("DELETE", f"/nodes/{part(node['id'])}")
    return Outcome(changed=True, before=shown(node))


def find(nodes: list[Mapping[str, Any]], ref: str) -> Mapping[str, Any] | None:
    """Find a node by name, full name, address or ID, as the coordinator does."""
    label = ref.lower().partition(".")[0]
    for node in nodes:
        if ref == str(node["id"]) or ref in node["addresses"] or label == node["name"]:
            return node
    return None


def _ask(
    api: Api, path: str, name: str, *, check: bool
) -> tuple[list[Mapping[str, Any]], tuple[str, ...]]:
    try:
        return list(api.get(path)[name]), ()
    except NotRunningError as error:
        if not check:
            raise
        return [], (f"{error} {EMPTY}",)


def _edit(api: Api, node: str, edit: Edit) -> None:
    """Revoke before approving: a route that moved to a smaller one must not be there twice."""
    body = {"name": edit.name, "tags": edit.tags}
    body = {name: value for name, value in body.items() if value is not None}
    if body:
        api.call("PATCH", f"/nodes/{part(node)}", body)
    for verb in ("revoke", "approve"):
        prefixes = getattr(edit, verb)
        if prefixes:
            api.post(f"/nodes/{part(node)}/routes/{verb}", {"prefixes": prefixes})


def _described(node: Mapping[str, Any] | None) -> dict[str, Any]:
    if node is None:
        return {}
    names = ("id", "name", "fqdn", "addresses", "online")
    return {"node": {name: node[name] for name in names}}


def _unknown(ref: str, nodes: list[Mapping[str, Any]]) -> str:
    names = ", ".join(sorted(str(node["name"]) for node in nodes)[:20])
    return f"The coordinator knows no node {ref!r}; it has {names or 'none yet'}."
