"""Policies as the hosted service answered them: tests/vectors/policy.json, which names its origin.

What is compared: per node its filter rules, and the peers with the routes that it sees. Order
carries no meaning; what says the same twice is once. Which of two routers is primary is the
service's choice, and taken from it.
"""

import json
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any, Final

from appliance.coordinator.mapper.view import View, first_view
from appliance.coordinator.model import NodeRecord, Snapshot, User
from appliance.coordinator.policy.engine import Policy
from appliance.coordinator.state import settle
from appliance.protocol.tailcfg import Hostinfo
from tests.support.snapshots import NOW, TAILNET, node

_VECTORS: Final = json.loads(
    (Path(__file__).parents[1] / "vectors" / "policy.json").read_text(encoding="utf-8")
)
_PEOPLE: Final = {
    "alice": User(1, "alice@example.com", "Alice", NOW),
    "bob": User(2, "bob@example.org", "Bob", NOW),
    "carol": User(3, "carol@example.com", "Carol", NOW),
}


@dataclass(frozen=True)
class Case:
    """One policy in one tailnet, with what the service made of it."""

    raw: dict[str, Any]

    @property
    def text(self) -> str:
        """The policy."""
        entries = {key: self.raw[key] for key in ("acls", "grants") if key in self.raw}
        return json.dumps({**_VECTORS["names"][self.raw["names"]], **entries})

    def view(self, policy: Policy) -> View:
        """The tailnet under the policy."""
        return first_view(self._snapshot(), TAILNET, policy)

    def filters(self) -> dict[str, set[object]]:
        """The rules of each node."""
        found: dict[str, set[object]] = {name: set() for name in self.peers()}
        for viewers, rules in self.raw["filters"]:
            for name in viewers:
                found[name] = {self._rule(name, rule) for rule in rules}
        return found

    def peers(self) -> dict[str, set[str]]:
        """The peers of each recorded node, with the routes that it sees."""
        found: dict[str, set[str]] = {}
        for viewers, shown in self.raw["peers"]:
            for name in viewers:
                found[name] = {" ".join(sorted(text.split())) for text in shown}
        return found

    @property
    def _nodes(self) -> dict[str, Any]:
        nodes: dict[str, Any] = _VECTORS["topologies"][self.raw["nodes"]]
        return nodes

    def _snapshot(self) -> Snapshot:
        snapshot = Snapshot()
        for user in _PEOPLE.values():
            snapshot = snapshot.with_user(user)
        records = [_record(int(name[1:]), row) for name, row in self._nodes.items()]
        snapshot = settle(snapshot.with_nodes(records), NOW)
        primaries = {
            ip_network(text): int(name[1:])
            for name, row in self._nodes.items()
            for text in row.get("primary", ())
        }
        return replace(snapshot, primaries={**snapshot.primaries, **primaries})

    def _rule(self, viewer: str, rule: dict[str, Any]) -> object:
        sources = {ip for text in rule["from"] for ip in self._addresses(viewer, text)}
        targets = set()
        for text in rule["to"]:
            name, ports = text.split()
            targets |= {f"{ip} {ports}" for ip in self._addresses(viewer, name)}
        return frozenset(sources), frozenset(targets), tuple(rule.get("proto", ()))

    def _addresses(self, viewer: str, text: str) -> list[str]:
        name, _, family = text.partition(".")
        row = self._nodes.get(viewer if name == "me" else name)
        if row is None:
            return [text]
        return [row["ips"][0 if family == "4" else 1]] if family else row["ips"]


def _record(number: int, row: dict[str, Any]) -> NodeRecord:
    offers = tuple(ip_network(text) for text in row.get("offers", ()))
    return node(
        number,
        user_id=_PEOPLE[row["user"]].id if "user" in row else None,
        name=f"n{number}",
        ipv4=IPv4Address(row["ips"][0]),
        ipv6=IPv6Address(row["ips"][1]),
        tags=tuple(row.get("tags", ())),
        hostinfo=Hostinfo(hostname=f"n{number}", routable_ips=offers or None),
        approved_routes=frozenset(ip_network(text) for text in row.get("approved", ())),
    )


ACCEPTED: Final = {c["id"]: Case(c) for c in _VECTORS["cases"] if not c.get("refused")}
REFUSED: Final = {c["id"]: Case(c) for c in _VECTORS["cases"] if c.get("refused")}
