"""Claiming the box: the code that it shows, and the owner's password."""

from typing import Final

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response

from webui import claim as claims
from webui import sessions
from webui.claim import Verdict
from webui.failures import Trouble
from webui.guard import sign_in
from webui.passwords import MIN_LENGTH, is_long_enough
from webui.services import services

blueprint: Final = Blueprint("claim", __name__)

Page = str | Response | tuple[str, int]

_CLOSED: Final = {
    Verdict.EXPIRED: _l("The code was good for an hour after the start of the box."),
    Verdict.EXHAUSTED: _l("Too many wrong codes were tried."),
}


@blueprint.get("/claim")
def show() -> Page:
    """Show the form, with the code from the link if there is one."""
    return _page(request.args.get("code", "")[:20])


@blueprint.post("/claim")
def claim() -> Page:
    """Judge the code; when it is right the owner is logged in."""
    own, form = services(), request.form
    code = form.get("code", "")[:100]
    errors = check(code, form.get("password", ""), form.get("again", ""))
    if errors:
        return _page(code, errors=errors, status=422)
    verdict, wait_s = claims.try_claim(
        own.store,
        own.settings.runtime_dir,
        code,
        form["password"],
        source=request.remote_addr or "",
        now=own.now(),
    )
    if verdict is Verdict.RIGHT:
        with own.store.transaction() as db:
            sign_in(sessions.begin(db, own.now()))
        return redirect(url_for("home.start"), 303)
    if verdict is Verdict.TOO_FAST:
        return _page(code, trouble=too_fast(wait_s), status=429)
    wrong = _("This is not the code that the box shows. It changes with every start.")
    return _page(code, errors={"code": wrong}, status=422)


def check(code: str, password: str, again: str) -> dict[str, str]:
    """Say what is wrong with a form before a try is spent on it."""
    errors = {}
    if len(claims.normalise(code)) != claims.CODE_LENGTH:
        errors["code"] = _("The code has ten letters and digits.")
    return errors | check_password(password, again)


def check_password(password: str, again: str) -> dict[str, str]:
    """Say what is wrong with a new password."""
    if not is_long_enough(password):
        length = MIN_LENGTH
        return {"password": _("Choose a password of at least %(n)d characters.", n=length)}
    if password != again:
        return {"again": _("The two passwords differ.")}
    return {}


def too_fast(wait_s: float) -> Trouble:
    """Say how long to wait."""
    seconds = int(wait_s) + 1
    return Trouble(
        _("Too many tries in the last minute."),
        _("Wait %(n)d seconds, then try again.", n=seconds),
        429,
        "too-fast",
    )


def _page(
    code: str,
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    own = services()
    state, now = claims.read_claim(own.store), own.now()
    closed = claims.door(state, now)
    if closed is not None:
        reason = str(_CLOSED.get(closed, ""))
        owned = closed is Verdict.OWNED
        return render_template("claim_closed.html", owned=owned, reason=reason), 403
    minutes = max(1, round(state.seconds_left(now) / 60))
    body = render_template(
        "claim.html",
        code=code,
        errors=errors or {},
        trouble=trouble,
        minutes=minutes,
        is_readable_by_others=not _is_encrypted(),
    )
    return body, status


def _is_encrypted() -> bool:
    """Whether the browser speaks TLS, as far as a proxy in front says; a hint hangs on it only."""
    return request.is_secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
