"""Settings: the box's name, its connection, the password, and leaving the mesh."""

import re
from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import UpRequest
from webui import attempts, sessions
from webui.failures import Trouble, explain
from webui.guard import sign_in
from webui.owner import change_password, is_owner
from webui.services import services
from webui.steps import forget
from webui.views.claim import check_password, too_fast

blueprint: Final = Blueprint("options", __name__, url_prefix="/settings")

Page = str | Response | tuple[str, int]

_HOSTNAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

DONE: Final = {
    "name": _l("The box has its new name."),
    "password": _l("The password is changed. Other browsers have to log in again."),
    "connected": _l("The box connects again."),
    "disconnected": _l("The box is disconnected."),
}


@blueprint.get("")
def show() -> Page:
    """Show everything."""
    return _page()


@blueprint.post("/name")
def rename() -> Page:
    """Give the box another name in the mesh."""
    name = request.form.get("hostname", "").strip().lower()
    if name and not _HOSTNAME.fullmatch(name):
        wrong = _("A name has up to 63 letters a to z, digits and hyphens.")
        return _page(hostname=name[:80], errors={"hostname": wrong}, status=422)
    try:
        services().local.edit_prefs({"hostname": name})
    except LocalApiError as error:
        return _failed(error, hostname=name)
    return _done("name")


@blueprint.post("/password")
def new_password() -> Page:
    """Change the password; other sessions end."""
    own, form = services(), request.form
    source = request.remote_addr or ""
    errors = check_password(form.get("password", ""), form.get("again", ""))
    if not form.get("current"):
        errors["current"] = _("Type the present password.")
    if errors:
        return _page(errors=errors, status=422)
    with own.store.transaction() as db:
        wait_s = attempts.take(db, attempts.LOGIN, source, own.now())
    if wait_s:
        return _page(trouble=too_fast(wait_s), status=429)
    if not is_owner(own.store, form["current"]):
        return _page(errors={"current": _("This is not the present password.")}, status=422)
    with own.store.transaction() as db:
        change_password(db, form["password"])
        token = sessions.begin(db, own.now())
        sessions.end_others(db, token)
        attempts.forgive(db, attempts.LOGIN, source)
    sign_in(token)
    return _done("password")


@blueprint.post("/connection")
def connection() -> Page:
    """Connect or disconnect; the login is kept."""
    local = services().local
    wanted = request.form.get("connected") == "yes"
    try:
        if wanted:
            local.up(UpRequest())
        else:
            local.down()
    except LocalApiError as error:
        return _failed(error)
    return _done("connected" if wanted else "disconnected")


@blueprint.post("/login")
def log_in_again() -> Page:
    """Renew the login of the box, which may have expired."""
    try:
        services().local.up(UpRequest(force_reauth=True))
    except LocalApiError as error:
        return _failed(error)
    return redirect(url_for("mesh.connecting"), 303)


@blueprint.get("/leave")
def leave() -> Page:
    """Say what leaving means, and ask."""
    return _leave_page()


@blueprint.post("/leave")
def do_leave() -> Page:
    """Leave the mesh; a mesh of our own ends, unless others are in it."""
    if request.form.get("sure") != "yes":
        return _leave_page(errors={"sure-yes": _("Tick the box if you mean it.")}, status=422)
    own = services()
    try:
        if own.local.coordinator().configured:
            own.local.stop_coordinator()
        own.local.logout()
    except LocalApiError as error:
        trouble = explain(error)
        return _leave_page(trouble=trouble, status=trouble.status)
    forget(own.store)
    return redirect(url_for("home.start"), 303)


def _done(what: str) -> Response:
    return redirect(url_for("options.show", done=what), 303)


def _failed(error: LocalApiError, hostname: str | None = None) -> Page:
    trouble = explain(error)
    return _page(hostname=hostname, trouble=trouble, status=trouble.status)


def _page(
    *,
    hostname: str | None = None,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    prefs, role, state = None, None, None
    try:
        local = services().local
        prefs, role, state = local.prefs(), local.coordinator(), local.status()
    except LocalApiError as error:  # the password can be changed all the same
        trouble = trouble or explain(error)
        status = trouble.status if status == 200 else status
    body = render_template(
        "options/show.html",
        prefs=prefs,
        role=role,
        state=state,
        hostname=hostname if hostname is not None else prefs.hostname if prefs else "",
        errors=errors or {},
        trouble=trouble,
        done=DONE.get(request.args.get("done", "")),
    )
    return body, status


def _leave_page(
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    local = services().local
    body = render_template(
        "options/leave.html",
        prefs=local.prefs(),
        role=local.coordinator(),
        errors=errors or {},
        trouble=trouble,
    )
    return body, status
