"""What every request passes on its way in and out: host, origin, form token, login, headers.

Browsers send ``Sec-Fetch-Site`` only over HTTPS or to localhost, so nothing here needs it; the
origin of a form is compared with the ``Host`` that the browser itself used.
"""

import hmac
import re
from typing import Final
from urllib.parse import urlsplit

from flask import Flask, Response, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from webui import sessions
from webui.claim import read_claim
from webui.hosts import name_of, with_default_port
from webui.services import services

SESSION_COOKIE: Final = "latchkey_session"
VISIT_COOKIE: Final = "latchkey_visit"
FORM_TOKEN: Final = "form_token"  # noqa: S105 - the field's name

OPEN_TO_ALL: Final = frozenset(
    {"static", "claim.show", "claim.claim", "login.show", "login.log_in", "language.choose"}
)
"""What may be reached without a login; everything else needs one."""

Reply = Response | BaseResponse | tuple[str, int] | None

_NETLOC: Final = re.compile(r"https?://([^/?#@]+)", re.ASCII)

_SAFE: Final = ("GET", "HEAD", "OPTIONS")

_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def install(app: Flask) -> None:
    """Put the checks before every request, and the headers behind it."""
    app.before_request(_check_host)
    app.before_request(_find_session)
    app.before_request(_check_form)
    app.before_request(_check_login)
    app.after_request(_set_cookies)
    app.after_request(_set_headers)
    app.context_processor(
        lambda: {"form_token": form_token, "FORM_TOKEN": FORM_TOKEN, "signed_in": is_signed_in()}
    )


def is_signed_in() -> bool:
    """Whether this request comes from the owner."""
    return bool(g.get("signed_in", False))


def form_token() -> str:
    """Return what a form on this page must carry; a stranger gets a visit of his own."""
    token = _token()
    if not token:
        g.new_visit = token = sessions.new_token()
    return sessions.csrf_token(token)


def sign_in(token: str) -> None:
    """Let the browser keep a session that has just begun."""
    g.new_session = token
    g.signed_in = True


def sign_out() -> None:
    """Let the browser forget its session."""
    g.new_session = ""
    g.signed_in = False


def session_token() -> str:
    """Return the token that the browser sent, alive or not."""
    return request.cookies.get(SESSION_COOKIE, "")


def local_path(text: str | None) -> str | None:
    """Return a path on this site to go on to, ``None`` if it leads anywhere else."""
    if not text or not text.startswith("/") or text.startswith("//") or len(text) > 200:
        return None
    return text if text.isprintable() and "\\" not in text else None


def is_same_origin(origin: str, host: str, scheme: str) -> bool:
    """Whether an ``Origin`` or ``Referer`` is the place that the browser asked."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    return with_default_port(parts.netloc, parts.scheme) == with_default_port(host, scheme)


def _token() -> str:
    if is_signed_in():
        return str(g.get("new_session") or session_token())
    visit = request.cookies.get(VISIT_COOKIE, "")
    known = visit if len(visit) >= sessions.MIN_TOKEN_LENGTH else ""
    return str(g.get("new_visit", known))


def _check_host() -> Reply:
    if request.endpoint == "static" or services().names.allows(request.host):
        return None
    if name_of(request.host) is None:  # no page can be drawn: its own links would have no host
        return Response("This is not the name of a host.\n", 400, mimetype="text/plain")
    g.wrong_host = True
    addresses = services().names.addresses(request.environ.get("SERVER_PORT", ""))
    return render_template("wrong_host.html", addresses=addresses), 421


def _find_session() -> None:
    if request.endpoint == "static":
        return
    own = services()
    token = session_token()
    g.signed_in = bool(token) and sessions.check(own.store, token, own.now(), own.session_s)


def _check_form() -> Reply:
    if request.method in _SAFE:
        return None
    source = request.headers.get("Origin", "")
    if source in ("", "null"):
        source = request.headers.get("Referer", "")
    if source and not _is_ours(source):
        return _refuse("origin")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return _refuse("origin")
    token = _token()
    given = request.form.get(FORM_TOKEN, "") or request.headers.get("X-Form-Token", "")
    expected = sessions.csrf_token(token) if token else ""
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        return _refuse("token")
    return None


def _is_ours(source: str) -> bool:
    """Whether a form comes from here; a proxy that the settings name may change the ``Host``."""
    if is_same_origin(source, request.host, request.scheme):
        return True
    match = _NETLOC.match(source)
    return match is not None and services().names.is_extra(match[1])


def _refuse(why: str) -> Reply:
    return render_template("form_refused.html", why=why, back=request.path), 403


def _check_login() -> Reply:
    if is_signed_in() or request.endpoint in OPEN_TO_ALL or request.endpoint is None:
        return None
    if wants_data():
        return Response('{"error": "login-needed"}', 401, mimetype="application/json")
    if not read_claim(services().store).owned:
        return redirect(url_for("claim.show"), 303)
    target = request.full_path.rstrip("?") if request.method == "GET" else ""
    onward = target if target not in ("", "/") else None
    return redirect(url_for("login.show", next=onward), 303)


def wants_data() -> bool:
    """Whether a script asks, not a person."""
    best = request.accept_mimetypes.best
    return best in ("application/json", "text/event-stream")


def _set_cookies(response: Response) -> Response:
    session, visit = g.get("new_session"), g.get("new_visit")
    if session is not None:
        _set_cookie(response, SESSION_COOKIE, session)
    if visit and not session:
        _set_cookie(response, VISIT_COOKIE, visit)
    return response


def _set_cookie(response: Response, name: str, value: str) -> None:
    if value:
        response.set_cookie(
            name, value, httponly=True, samesite="Strict", secure=request.is_secure, path="/"
        )
    else:
        response.delete_cookie(name, httponly=True, samesite="Strict", path="/")


def _set_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:  # over plain HTTP browsers ignore it, and complain
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if request.endpoint != "static" or response.status_code >= 400:
        response.headers["Cache-Control"] = "no-store"
    return response
