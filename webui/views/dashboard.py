"""The overview: health, devices, routes, exit node, the box itself, throughput."""

import ipaddress
from typing import Final

from flask import Blueprint, Response, current_app, redirect, render_template, request, url_for
from flask.blueprints import BlueprintSetupState
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response as BaseResponse

from webui import live
from webui.chart import render_chart, summarise
from webui.machine import MachineWatch
from webui.overview import Overview, observe
from webui.routecards import EXIT
from webui.services import EXTENSION, Services, services
from webui.units import ago_text, bytes_text, percent_text, rate_text, span_text

blueprint: Final = Blueprint("dashboard", __name__)
live.install(blueprint)

PARTS: Final = ("summary", "health", "routes", "members", "internet", "traffic", "machine")
"""What changes by itself: each is a template and the ID of an element."""

_MACHINE: Final = "latchkey-machine"


@blueprint.record
def _prepare(state: BlueprintSetupState) -> None:
    own: Services = state.app.extensions[EXTENSION]
    state.app.extensions[_MACHINE] = MachineWatch(own.settings.state_dir, own.now)


@blueprint.get("/dashboard")
def show() -> str:
    """Show everything as it is now."""
    return render_template("dashboard/page.html", parts_shown=PARTS, **_context())


@blueprint.get("/dashboard/live")
def follow() -> Response:
    """Tell what changes."""

    def look() -> live.Parts:
        context = _context()
        return {name: render_template(f"dashboard/{name}.html", **context) for name in PARTS}

    return live.respond(look)


@blueprint.post("/dashboard/approve")
def approve() -> BaseResponse:
    """Let a node carry a route."""
    node, prefix = request.form.get("node", ""), _prefix(request.form.get("prefix", ""))
    if not node.isdecimal() or len(node) > 18:
        raise BadRequest
    services().admin.approve_routes(node, (prefix,))
    return redirect(url_for("dashboard.show", _anchor="routes"), 303)


@blueprint.post("/dashboard/probe")
def probe() -> BaseResponse:
    """Send a probe through a route now."""
    services().local.probe_routes(_prefix(request.form.get("prefix", "")))
    return redirect(url_for("dashboard.show", _anchor="routes"), 303)


def _context() -> dict[str, object]:
    own = services()
    watch: MachineWatch = current_app.extensions[_MACHINE]
    seen = observe(own, watch.look())
    return {
        "seen": seen,
        "uptime": span_text(own.now()),
        "ago_text": ago_text,
        "bytes_text": bytes_text,
        "percent_text": percent_text,
        "rate_text": rate_text,
        "chart": _chart(seen),
        "hour": summarise(seen.traffic),
        "hour_sentence": _hour_sentence(seen),
    }


def _chart(seen: Overview) -> object:
    return render_chart(seen.traffic, _("Throughput of the last hour"), _hour_sentence(seen))


def _hour_sentence(seen: Overview) -> str:
    hour = summarise(seen.traffic)
    if hour.rx_bytes + hour.tx_bytes == 0:
        return str(_("Nothing went through the mesh in the last hour."))
    return str(
        _(
            "In the last hour %(rx)s came in and %(tx)s went out; the busiest minute had %(peak)s.",
            rx=bytes_text(hour.rx_bytes),
            tx=bytes_text(hour.tx_bytes),
            peak=rate_text(hour.peak_bits_s),
        )
    )


def _prefix(text: str) -> str:
    """Return a route's prefix as the APIs write it."""
    if text == EXIT:
        return text
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise BadRequest from None
