"""What the box offers to its mesh: networks behind it, and the way to the internet."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import NodeInfo
from appliance.exit_status import ExitStatus
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import NetworkFound, Prefs, RouteStatus, Status
from webui.failures import Trouble, explain, explain_code
from webui.founding import own_node
from webui.sentences import translate
from webui.services import services
from webui.steps import Step, decide, has_decided, next_step, plan_step
from webui.views.mesh import TAILSCALE

blueprint: Final = Blueprint("networks", __name__, url_prefix="/networks")

Page = str | Response | tuple[str, int]

AUTO: Final = "auto"
EXIT: Final = "exit"
EXIT_PREFIXES: Final = ("0.0.0.0/0", "::/0")

MAX_NETWORKS: Final = 32
"""A home has a handful."""

PATIENCE_S: Final = 10.0
"""How long an advertised route takes at most to get to our own coordinator."""
PAUSE_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the form says."""

    chosen: tuple[str, ...] = ()
    other: str = ""
    exit_node: bool = False
    snat: bool = True

    def routes(self) -> tuple[str, ...]:
        """Return every network once."""
        typed = self.other.replace(";", ",").replace(" ", ",").split(",")
        return tuple(dict.fromkeys((*self.chosen, *(text for text in typed if text))))


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that is offered now, and whether the coordinator lets us."""

    prefix: str
    approved: bool
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that the page shows."""

    status: Status
    prefs: Prefs
    networks: tuple[NetworkFound, ...]
    own: NodeInfo | None
    """This box in a mesh of its own, while its coordinator answers."""
    is_ours: bool
    wishes: Wishes
    offers: tuple[Offer, ...] = ()
    setting_up: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    trouble: Trouble | None = None

    @property
    def twins(self) -> frozenset[str]:
        """The IPv6 side of networks that stand here with their IPv4 addresses too."""
        known = {one.interface for one in self.networks if ":" not in one.prefix}
        mine = (one for one in self.networks if ":" in one.prefix and one.interface in known)
        return frozenset(one.prefix for one in mine)

    @property
    def unapproved(self) -> tuple[str, ...]:
        """What somebody has to approve."""
        return tuple(offer.prefix for offer in self.offers if not offer.approved)

    @property
    def others(self) -> str:
        """Whose coordinator it is: ``own``, ``tailscale`` or ``other``."""
        if self.is_ours:
            return "own"
        return "tailscale" if self.prefs.control_url == TAILSCALE else "other"


@blueprint.get("")
def show() -> Page:
    """Show the networks that were found, and what is offered."""
    sight = _look(None)
    if not sight.status.have_node_key:
        return redirect(url_for("home.start"), 303)
    return _page(sight)


@blueprint.post("")
def save() -> Page:
    """Offer what was chosen, and approve it where we are the coordinator."""
    wishes = read_wishes(request.form)
    errors = check(wishes)
    if errors:
        return _page(_look(wishes, errors=errors), 422)
    own = services()
    first = next_step(own.local, own.store) is Step.NETWORKS
    try:
        prefs = own.local.edit_prefs(
            {
                "advertise_routes": list(wishes.routes()),
                "advertise_exit_node": wishes.exit_node,
                "snat_subnet_routes": wishes.snat,
            }
        )
        decide(own.store)
        waiting = _approve(prefs)
    except (LocalApiError, AdminApiError) as error:
        trouble = explain(error)
        return _page(_look(wishes, trouble=trouble), trouble.status)
    if waiting:
        return redirect(url_for("networks.show", _anchor="approval"), 303)
    if first:
        return redirect(url_for("devices.show"), 303)
    return redirect(url_for("networks.show", done="saved"), 303)


@blueprint.post("/approve")
def approve() -> Page:
    """Approve what is offered and was not approved."""
    parts, trouble = services(), None
    try:
        if _approve(parts.local.prefs()):
            parts.admin.status()  # says why, if it is away
            trouble = explain_code(ExitStatus.TIMEOUT.code, "")
    except AdminApiError as error:
        trouble = explain(error)
    if trouble is not None:
        return _page(_look(None, trouble=trouble), trouble.status)
    return redirect(url_for("networks.show", done="saved"), 303)


@blueprint.get("/state")
def state() -> dict[str, str]:
    """Tell scripts whether something was approved since."""
    parts = services()
    status, prefs = parts.local.status(), parts.local.prefs()
    own = own_node(parts.admin, status, prefs)
    return {"state": state_key(offers_of(status.routes, prefs, own))}


def state_key(offers: Iterable[Offer]) -> str:
    """Return what changes when an offer is approved."""
    return " ".join(offer.prefix for offer in offers if not offer.approved)


def read_wishes(form: MultiDict[str, str]) -> Wishes:
    """Read the form."""
    return Wishes(
        chosen=tuple(text[:60] for text in form.getlist("network")[:MAX_NETWORKS]),
        other=form.get("other", "").strip()[:500],
        exit_node=form.get("exit_node") == "yes",
        snat=form.get("snat") == "yes",
    )


def check(wishes: Wishes) -> dict[str, str]:
    """Say what is wrong with the form."""
    routes = wishes.routes()
    if len(routes) > MAX_NETWORKS:
        return {"other": _("At most %(n)d networks can be offered.", n=MAX_NETWORKS)}
    for text in routes:
        if text != AUTO and not _is_network(text):
            text = text[:60]
            return {"other": _("%(text)s is not a network. Write 192.168.1.0/24.", text=text)}
    return {}


def _is_network(text: str) -> bool:
    try:
        return "/" in text and ip_network(text).prefixlen > 0
    except ValueError:
        return False


def offers_of(routes: tuple[RouteStatus, ...], prefs: Prefs, own: NodeInfo | None) -> list[Offer]:
    """Say what is offered now; our own coordinator knows best what is approved."""
    mine = {route.prefix: route for route in routes if not route.router}
    wanted = [prefix for prefix in prefs.advertise_routes if prefix != AUTO]
    wanted += [prefix for prefix in mine if prefix != EXIT and prefix not in wanted]
    wanted += [EXIT] if prefs.advertise_exit_node else []
    approved = {route.prefix for route in own.routes if route.approved} if own else set()
    if EXIT_PREFIXES[0] in approved:
        approved.add(EXIT)
    return [
        Offer(
            prefix,
            approved=prefix in approved or (prefix in mine and mine[prefix].approved.ok),
            evidence=mine[prefix].approved.evidence if prefix in mine else "",
        )
        for prefix in wanted
    ]


def _approve(prefs: Prefs) -> bool:
    """Approve what we offer, if the coordinator is ours; True: something has to wait."""
    parts = services()
    fixed = {prefix for prefix in prefs.advertise_routes if prefix != AUTO}
    wanted = fixed | (set(EXIT_PREFIXES) if prefs.advertise_exit_node else set())
    deadline, status = parts.now() + PATIENCE_S, parts.local.status()
    while (own := own_node(parts.admin, status, prefs)) is not None:
        advertised = {route.prefix for route in own.routes if route.advertised}
        if wanted <= advertised:
            open_ones = tuple(
                route.prefix for route in own.routes if route.advertised and not route.approved
            )
            if open_ones:
                parts.admin.approve_routes(str(own.id), open_ones)
            return False
        if parts.now() >= deadline:
            return True
        parts.pause(PAUSE_S)
    return bool(prefs.advertise_routes) or prefs.advertise_exit_node


def _look(
    wishes: Wishes | None,
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
) -> Sight:
    parts = services()
    status, prefs = parts.local.status(), parts.local.prefs()
    networks = parts.local.networks().networks
    own = own_node(parts.admin, status, prefs)
    step = plan_step(status, prefs, founding=False, decided=has_decided(parts.store))
    return Sight(
        status=status,
        prefs=prefs,
        networks=networks,
        own=own,
        is_ours=own is not None or _is_ours(prefs),
        wishes=wishes or wishes_of(prefs, networks, first=step is Step.NETWORKS),
        offers=tuple(offers_of(status.routes, prefs, own)),
        setting_up=step is Step.NETWORKS,
        errors=errors or {},
        trouble=trouble,
    )


def _is_ours(prefs: Prefs) -> bool:
    role = services().local.coordinator()
    url = prefs.control_url.rstrip("/")
    return role.configured and role.server_url.rstrip("/") == url


def wishes_of(prefs: Prefs, networks: tuple[NetworkFound, ...], *, first: bool) -> Wishes:
    """Fill the form: with what is offered, at first with the home network."""
    found = {network.prefix for network in networks if network.advertisable}
    chosen = tuple(p for p in prefs.advertise_routes if p in found or p == AUTO)
    if first:
        chosen = tuple(n.prefix for n in networks if n.advertisable and n.is_uplink)
    others = [p for p in prefs.advertise_routes if p not in found and p != AUTO]
    return Wishes(chosen, ", ".join(others), prefs.advertise_exit_node, prefs.snat_subnet_routes)


def _page(sight: Sight, status: int = 200) -> Page:
    done = request.args.get("done") == "saved"
    body = render_template(
        "networks/show.html",
        sight=sight,
        done=done,
        setting_up=sight.setting_up,
        EXIT=EXIT,
        state=state_key(sight.offers),
        translate=translate,
    )
    return body, status
