"""Everything that the overview shows, gathered in a few quick calls."""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from flask_babel import gettext as _

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError, CoordinatorNotRunningError
from appliance.adminapi.types import NodeInfo, PendingInfo
from appliance.exit_status import ExitStatus
from appliance.localapi.types import HealthItem, Prefs, Status, Traffic
from webui.failures import Trouble, explain, explain_code
from webui.machine import Machine
from webui.members import Member, members_of
from webui.routecards import EXIT, Offer, RouteCard, cards_of, offers_of
from webui.sentences import translate
from webui.services import Services

_NOT_RUNNING: Final = ExitStatus.COORDINATOR_NOT_RUNNING.code


@dataclass(frozen=True, slots=True)
class Registry:
    """What the coordinator on this box knows; ``here`` is False where there is none."""

    here: bool = False
    nodes: tuple[NodeInfo, ...] = ()
    pending: tuple[PendingInfo, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning, in the visitor's language."""

    kind: str
    """``bad``, ``warn`` or ``info``: how the page colours it."""
    title: str
    text: str
    fix: str


@dataclass(frozen=True, slots=True)
class Overview:
    """One look at everything."""

    status: Status
    prefs: Prefs
    traffic: Traffic
    machine: Machine
    registry: Registry
    members: tuple[Member, ...] = ()
    routes: tuple[RouteCard, ...] = ()
    offers: tuple[Offer, ...] = ()
    warnings: tuple[Warned, ...] = ()
    exit_sentence: str = field(default="")

    @property
    def name(self) -> str:
        """What the box is called in the mesh, or at least by itself."""
        own = self.status.self_node
        return own.dns_name.partition(".")[0] or own.host_name

    @property
    def running(self) -> bool:
        """Whether the box is in its mesh."""
        return self.status.backend_state == "Running"


def observe(own: Services, machine: Machine) -> Overview:
    """Ask the agent and, where there is one, the coordinator."""
    status, prefs = own.local.status(), own.local.prefs()
    registry = registry_of(own)
    return Overview(
        status=status,
        prefs=prefs,
        traffic=own.local.traffic(),
        machine=machine,
        registry=registry,
        members=members_of(status),
        routes=cards_of(status, registry.nodes),
        offers=offers_of(status, registry.nodes),
        warnings=tuple(
            _warned(item, registry)
            for item in status.warnings
            if not _is_said_already(item, registry, prefs)
        ),
        exit_sentence=exit_sentence(status, prefs),
    )


def registry_of(own: Services) -> Registry:
    """Ask the coordinator on this box; where it ought to run and does not, that is a trouble."""
    found = look_up(own.admin)
    if found.here or found.trouble is not None:
        return found
    role = own.local.coordinator()
    if not (role.configured or role.by_hand):
        return found
    return Registry(trouble=explain_code(_NOT_RUNNING, ""))


def look_up(admin: AdminClient) -> Registry:
    """Ask the coordinator on this box, if there is one."""
    try:
        return Registry(True, admin.nodes().nodes, admin.pending().pending)
    except CoordinatorNotRunningError:
        return Registry()
    except AdminApiError as error:
        return Registry(trouble=explain(error))


def exit_sentence(status: Status, prefs: Prefs) -> str:
    """Say which way traffic to the internet takes, and whose."""
    if prefs.exit_node:
        name = next(
            (p.dns_name.partition(".")[0] for p in status.peers.values() if p.exit_node), ""
        )
        if name:
            return str(_("This box's own traffic goes out through %(name)s.", name=name))
        return str(_("This box's own traffic is held back: its exit node is not there."))
    if not prefs.advertise_exit_node:
        return str(_("This box is no exit node: traffic to the internet does not pass it."))
    if any(
        route.prefix == EXIT and route.serving.ok for route in status.routes if not route.router
    ):
        return str(_("Your devices can go out to the internet from here."))
    return str(_("This box offers to be an exit node, and is not yet one."))


def _is_said_already(item: HealthItem, registry: Registry, prefs: Prefs) -> bool:
    """Whether it only follows from the coordinator of this box not running, its relay included."""
    if registry.trouble is None or registry.trouble.code != _NOT_RUNNING:
        return False
    host = urlsplit(prefs.control_url).hostname or "-"
    return item.code == "coordinator-unreachable" or (
        item.code == "relay-unreachable" and host in item.text
    )


def _warned(item: HealthItem, registry: Registry) -> Warned:
    kind = {"high": "bad", "medium": "warn"}.get(item.severity, "info")
    fix = translate(item.fix)
    if item.code in ("route-not-approved", "lan-renumbered") and registry.here:
        fix = _("Approve it below, under “Routes”.")
    return Warned(kind, translate(item.title), translate(item.text), fix)
