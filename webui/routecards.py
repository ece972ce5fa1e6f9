"""Routes and their four facts as a page shows them, and what can be done about each."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from appliance.adminapi.types import NodeInfo, RouteInfo
from appliance.localapi.types import Fact, RouteStatus, Status
from webui.sentences import translate
from webui.units import ago_text

EXIT: Final = "exit"
DEFAULTS: Final = frozenset({"0.0.0.0/0", "::/0"})

FACTS: Final = {
    "advertised": _l("Advertised"),
    "approved": _l("Approved"),
    "serving": _l("Serving"),
    "proven": _l("Proven"),
}


@dataclass(frozen=True, slots=True)
class FactRow:
    """One of the four."""

    name: str
    label: str
    ok: bool
    evidence: str
    since: str


@dataclass(frozen=True, slots=True)
class RouteCard:
    """One route."""

    title: str
    prefix: str
    router: str
    """Empty: the box."""
    verdict: str
    """``proven``, ``serving``, ``waiting`` (for approval) or ``broken``."""
    facts: tuple[FactRow, ...]
    approvable: str
    """The node at the coordinator here that may be let carry it; empty: not now, or not here."""
    probeable: bool
    """A probe can be sent from here."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What another node offers and nobody has approved yet."""

    node_id: int
    node: str
    prefix: str
    title: str


def cards_of(status: Status, nodes: Iterable[NodeInfo]) -> tuple[RouteCard, ...]:
    """Describe the routes that the box knows of; ``nodes`` is empty without a coordinator here."""
    own = next((n for n in nodes if n.node_key == status.self_node.public_key), None)
    return tuple(_card(route, own) for route in status.routes)


def offers_of(status: Status, nodes: Iterable[NodeInfo]) -> tuple[Offer, ...]:
    """Return what other nodes offer and nobody has approved yet."""
    others = (node for node in nodes if node.node_key != status.self_node.public_key)
    return tuple(
        Offer(node.id, node.name, prefix, title_of(prefix))
        for node in others
        for prefix in _waiting(node.routes)
    )


def title_of(prefix: str) -> str:
    """Name a route."""
    return _("Internet (exit node)") if prefix == EXIT else prefix


def _waiting(routes: Iterable[RouteInfo]) -> list[str]:
    open_ones = [route.prefix for route in routes if route.advertised and not route.approved]
    subnets = [prefix for prefix in open_ones if prefix not in DEFAULTS]
    return subnets + ([EXIT] if DEFAULTS & set(open_ones) else [])


def _card(route: RouteStatus, own: NodeInfo | None) -> RouteCard:
    waits = not route.router and route.advertised.ok and not route.approved.ok
    return RouteCard(
        title=title_of(route.prefix),
        prefix=route.prefix,
        router=route.router,
        verdict=_verdict(route),
        facts=tuple(
            _row(name, str(FACTS[name]), fact, hidden_command=name == "approved" and bool(own))
            for name, fact in route.facts.items()
        ),
        approvable=str(own.id) if own is not None and waits else "",
        probeable=bool(route.router) and route.serving.ok,
    )


def _row(name: str, label: str, fact: Fact, *, hidden_command: bool) -> FactRow:
    evidence = translate(fact.evidence)
    if hidden_command and not fact.ok and fact.evidence.startswith("An admin must approve it"):
        evidence = _("It waits for your approval.")
    since = ago_text(fact.since) if fact.since is not None else ""
    return FactRow(name, label, fact.ok, evidence, since)


def _verdict(route: RouteStatus) -> str:
    if route.advertised.ok and not route.approved.ok:
        return "waiting"
    if not route.serving.ok:
        return "broken"
    return "proven" if route.proven.ok else "serving"
