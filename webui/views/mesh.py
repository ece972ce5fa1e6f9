"""Choosing the mesh: be the coordinator of a new one, or join one that exists."""

import hashlib
from typing import Final
from urllib.parse import urlsplit

from flask import Blueprint, redirect, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from appliance.adminapi.errors import AdminApiError
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import Networks, Progress, Status, UpRequest
from webui.failures import Trouble, explain, explain_code
from webui.founding import Founder, one_at_a_time
from webui.qr import qr_svg
from webui.sentences import translate
from webui.services import services
from webui.steps import forget

blueprint: Final = Blueprint("mesh", __name__, url_prefix="/mesh")

Page = str | Response | tuple[str, int]

TAILSCALE: Final = "https://controlplane.tailscale.com"

PATIENCE_S: Final = 20.0
"""How long a form may take; then a page says that it is still under way."""

COORDINATOR_PORT: Final = 8080
MAX_URL: Final = 300
MAX_KEY: Final = 500


@blueprint.get("")
def show() -> Page:
    """Offer both ways, and say what became of the last attempt."""
    local = services().local
    status, prefs, role = local.status(), local.prefs(), local.coordinator()
    if status.have_node_key:
        return render_template("mesh/member.html", status=status, prefs=prefs)
    progress = local.watch(0, 0)
    trouble = _trouble_of(progress)
    return render_template(
        "mesh/choose.html",
        role=role,
        reason=translate(role.reason),
        trouble=trouble,
        setting_up=True,
    )


@blueprint.get("/found")
def found() -> Page:
    """Ask for the address under which devices find this box."""
    role = services().local.coordinator()
    return _found_page(role.server_url or _suggested_url())


@blueprint.post("/found")
def do_found() -> Page:
    """Be the coordinator; wait some seconds for it to have this box as its first node."""
    url = clean_url(request.form.get("server_url", ""), "http")
    if not url:
        errors = {"server_url": _("Write an address like http://192.168.1.2:8080.")}
        return _found_page(request.form.get("server_url", "")[:MAX_URL], errors=errors, status=422)
    try:
        return _advance(url)
    except (LocalApiError, AdminApiError) as error:
        trouble = explain(error)
        if trouble.code == "invalid":
            errors = {"server_url": trouble.sentence}
            return _found_page(url, errors=errors, status=422)
        return _found_page(url, trouble=trouble, status=trouble.status)


@blueprint.post("/continue")
def go_on() -> Page:
    """Do what is left of being the coordinator."""
    try:
        return _advance("")
    except (LocalApiError, AdminApiError) as error:
        trouble = explain(error)
        return _found_page(_chosen_url(), trouble=trouble, status=trouble.status)


@blueprint.get("/join")
def join() -> Page:
    """Ask which mesh, and how to log in."""
    known = services().local.prefs().control_url
    other = known if known not in ("", TAILSCALE) else ""
    return _join_page({"server": "other" if other else "tailscale", "url": other, "how": "link"})


@blueprint.post("/join")
def do_join() -> Page:
    """Start logging in; the next page follows it."""
    form = request.form
    values = {
        "server": "other" if form.get("server") == "other" else "tailscale",
        "url": form.get("url", "").strip()[:MAX_URL],
        "how": "key" if form.get("how") == "key" else "link",
    }
    key = form.get("key", "").strip() if values["how"] == "key" else ""
    url = TAILSCALE if values["server"] == "tailscale" else clean_url(values["url"], "https")
    errors = {}
    if not url:
        errors["url"] = _("Write the coordinator's address, like https://mesh.example.org.")
    if values["how"] == "key" and not _looks_like_key(key):
        errors["key"] = _("Paste the whole key: letters, digits and hyphens without spaces.")
    if errors:
        return _join_page(values, errors=errors, status=422)
    local = services().local
    try:
        if local.coordinator().configured:
            local.stop_coordinator()
        local.up(UpRequest(prefs={"control_url": url}, auth_key=key))
    except LocalApiError as error:
        trouble = explain(error)
        return _join_page(values, trouble=trouble, status=trouble.status)
    return redirect(url_for("mesh.connecting"), 303)


@blueprint.get("/connecting")
def connecting() -> Page:
    """Show how far it is, and what the owner has to do."""
    local = services().local
    status, prefs, role = local.status(), local.prefs(), local.coordinator()
    if status.have_node_key and status.backend_state == "Running":
        return redirect(url_for("home.start"), 303)
    progress = local.watch(0, 0)
    ours = not prefs.want_running or prefs.control_url == role.server_url
    founding = role.configured and not status.have_node_key and ours
    if not prefs.want_running and not founding:
        return redirect(url_for("mesh.show"), 303)
    login_url = "" if founding else safe_url(status.auth_url)
    return render_template(
        "mesh/connecting.html",
        state=state_key(status, progress),
        backend_state=status.backend_state,
        server=prefs.control_url or role.server_url,
        login_url=login_url,
        qr=qr_svg(login_url) if login_url else "",
        trouble=_trouble_of(progress),
        founding=founding,
        setting_up=True,
    )


@blueprint.get("/state")
def state() -> dict[str, str]:
    """Tell scripts whether the page is out of date."""
    local = services().local
    return {"state": state_key(local.status(), local.watch(0, 0))}


@blueprint.post("/cancel")
def cancel() -> Page:
    """Stop joining, and choose again."""
    own = services()
    if own.local.coordinator().configured and not own.local.status().have_node_key:
        own.local.stop_coordinator()
    own.local.down()
    forget(own.store)
    return redirect(url_for("mesh.show"), 303)


def clean_url(text: str, scheme: str) -> str:
    """Return an address as the APIs want it, completed with a scheme; empty: it is none."""
    text = text.strip()
    if not text or len(text) > MAX_URL or not text.isascii() or not text.isprintable():
        return ""
    if "://" not in text:
        text = f"{scheme}://{text}"
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        return ""
    unfit = parts.scheme not in ("http", "https") or not parts.hostname or parts.username
    if unfit or parts.path not in ("", "/") or parts.query or parts.fragment or " " in text:
        return ""
    return f"{parts.scheme}://{parts.netloc.lower()}"


def safe_url(text: str) -> str:
    """Return a login link that a browser may open, else nothing."""
    safe = text.startswith(("https://", "http://")) and text.isprintable()
    return text if safe and len(text) <= 1000 else ""


def state_key(status: Status, progress: Progress) -> str:
    """Return a word that changes when the waiting page has something new to say."""
    failure = progress.failure.message if progress.failure else ""
    facts = (status.backend_state, status.auth_url, failure, str(status.have_node_key))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _advance(url: str) -> Page:
    own = services()
    founder = Founder(own.local, own.admin, own.now, own.pause)
    with one_at_a_time(own.settings.runtime_dir) as alone:
        if alone:
            done = founder.found(url, PATIENCE_S) if url else founder.go_on(PATIENCE_S)
            if done:
                return redirect(url_for("home.start"), 303)
    return redirect(url_for("mesh.connecting"), 303)


def _looks_like_key(key: str) -> bool:
    plain = key.replace("-", "").replace("_", "")
    return 8 <= len(key) <= MAX_KEY and plain.isascii() and plain.isalnum()


def _trouble_of(progress: Progress) -> Trouble | None:
    if progress.failure is None:
        return None
    return explain_code(progress.failure.code, progress.failure.message)


def _chosen_url() -> str:
    return services().local.coordinator().server_url or _suggested_url()


def _suggested_url() -> str:
    """Return this box's address at home, which every device there finds."""
    own = services()
    try:
        networks = own.local.networks()
    except LocalApiError:
        networks = Networks()
    found = [network for network in networks.networks if network.advertisable]
    uplink = sorted(found, key=lambda network: not network.is_uplink)
    hosts = [address for network in uplink for address in network.addresses if "." in address]
    hosts += [str(address) for address in own.names.known().lan_addresses()]
    return f"http://{hosts[0]}:{COORDINATOR_PORT}" if hosts else ""


def _found_page(
    server_url: str,
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    body = render_template(
        "mesh/found.html",
        server_url=server_url,
        errors=errors or {},
        trouble=trouble,
        setting_up=True,
    )
    return body, status


def _join_page(
    values: dict[str, str],
    *,
    errors: dict[str, str] | None = None,
    trouble: Trouble | None = None,
    status: int = 200,
) -> Page:
    body = render_template(
        "mesh/join.html", values=values, errors=errors or {}, trouble=trouble, setting_up=True
    )
    return body, status
