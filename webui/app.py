"""Makes the application: settings and clients in, a Flask application out."""

import hashlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from flask import Flask, Response, g, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.version import VERSION
from webui import guard, languages, views
from webui.errors import StoreError
from webui.failures import ApiError, Trouble, explain
from webui.hosts import Known, OwnNames, observe_known
from webui.services import EXTENSION, Services
from webui.settings import Settings, load_settings
from webui.store import Store, boot_seconds

_log = logging.getLogger(__name__)

MAX_REQUEST_BYTES: Final = 64 * 1024
"""The largest form is a few hundred bytes."""
MAX_FIELDS: Final = 200
"""Networks of one box, and then some."""


def create_app(
    settings: Settings | None = None,
    local: LocalClient | None = None,
    admin: AdminClient | None = None,
    *,
    config: str = "",
    observe: Callable[[], Known] = observe_known,
    now: Callable[[], float] = boot_seconds,
    pause: Callable[[float], None] = time.sleep,
) -> Flask:
    """Make the application; whatever is not given comes from the settings file (``config``)."""
    chosen = settings or load_settings(Path(config) if config else None)
    agent = local or LocalClient(chosen.local_socket)
    app = Flask(__name__)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_REQUEST_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_REQUEST_BYTES,
        MAX_FORM_PARTS=MAX_FIELDS,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 24 * 3600,
    )
    app.extensions[EXTENSION] = Services(
        settings=chosen,
        local=agent,
        admin=admin or AdminClient(chosen.admin_socket),
        store=Store(chosen.state_dir),
        names=OwnNames(chosen.allowed_hosts, observe, lambda: _mesh_name(agent), now),
        now=now,
        pause=pause,
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    languages.install(app)
    guard.install(app)
    _install_static(app)
    _install_errors(app)
    for blueprint in views.blueprints():
        app.register_blueprint(blueprint)
    app.context_processor(lambda: {"version": VERSION, "navigation": views.NAVIGATION})
    return app


def _mesh_name(agent: LocalClient) -> str:
    try:
        return agent.status().self_node.dns_name
    except LocalApiError:
        return ""


def _install_static(app: Flask) -> None:
    """Give static files a name that changes with their content, so that browsers may keep them."""
    folder = Path(app.static_folder or "")
    marks = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in folder.iterdir()
    }

    def asset(name: str) -> str:
        return url_for("static", filename=name, v=marks[name])

    app.context_processor(lambda: {"asset": asset})


def _install_errors(app: Flask) -> None:
    app.register_error_handler(LocalApiError, _api_failed)
    app.register_error_handler(AdminApiError, _api_failed)
    app.register_error_handler(StoreError, _store_failed)
    app.register_error_handler(HTTPException, _http_failed)
    app.register_error_handler(Exception, _bug)


Answer = Response | BaseResponse | tuple[Any, int]


def _api_failed(error: ApiError) -> Answer:
    return _page(explain(error))


def _store_failed(error: StoreError) -> Answer:
    _log.error("%s", error)
    sentence = _("The box cannot write to its disk.")
    return _page(Trouble(sentence, _("Restart the box; if it stays so, its card is full."), 503))


def _http_failed(error: HTTPException) -> Answer:
    code = error.code or 500
    texts = {
        404: _("There is no such page."),
        405: _("This page cannot be used in this way."),
        413: _("That is more than any form here holds."),
    }
    if code < 400 and error.response is not None:
        return Response.force_type(error.get_response())
    sentence = texts.get(code, _("The browser's request cannot be understood."))
    return _page(Trouble(sentence, _("Go back to the start page."), code))


def _bug(error: Exception) -> Answer:
    _log.error("%s of %s failed", request.method, request.endpoint, exc_info=error)
    sentence = _("Something went wrong on this page.")
    return _page(Trouble(sentence, _("Try again; the box's log says more."), 500))


def _page(trouble: Trouble) -> Answer:
    if guard.wants_data():
        return {"error": trouble.code or "error", "message": trouble.sentence}, trouble.status
    g.refused = True
    return render_template("trouble.html", trouble=trouble), trouble.status
