"""Logging in and out."""

from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from webui import attempts, sessions
from webui.claim import read_claim
from webui.failures import Trouble
from webui.guard import is_signed_in, local_path, session_token, sign_in, sign_out
from webui.owner import is_owner
from webui.services import services
from webui.views.claim import Page, too_fast

blueprint: Final = Blueprint("login", __name__)


@blueprint.get("/login")
def show() -> Page:
    """Show the form, unless there is nothing to log in to or for."""
    if is_signed_in():
        return redirect(url_for("home.start"), 303)
    if not read_claim(services().store).owned:
        return redirect(url_for("claim.show"), 303)
    return _page(local_path(request.args.get("next")) or "")


@blueprint.post("/login")
def log_in() -> Page:
    """Begin a session when the password is right."""
    own, source = services(), request.remote_addr or ""
    onward = local_path(request.form.get("next")) or ""
    password = request.form.get("password", "")
    if not password:
        return _page(onward, errors={"password": _("Type the password.")}, status=422)
    with own.store.transaction() as db:
        wait_s = attempts.take(db, attempts.LOGIN, source, own.now())
    if wait_s:
        return _page(onward, trouble=too_fast(wait_s), status=429)
    if not is_owner(own.store, password):
        return _page(onward, errors={"password": _("The password is wrong.")}, status=422)
    with own.store.transaction() as db:
        attempts.forgive(db, attempts.LOGIN, source)
        sign_in(sessions.begin(db, own.now()))
    return redirect(onward or url_for("home.start"), 303)


@blueprint.post("/logout")
def log_out() -> Response:
    """End the session."""
    sessions.end(services().store, session_token())
    sign_out()
    return redirect(url_for("login.show"), 303)


def _page(
    onward: str,
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    body = render_template("login.html", onward=onward, errors=errors or {}, trouble=trouble)
    return body, status
