"""Choosing the language, from the foot of every page."""

from typing import Final

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from webui.guard import local_path
from webui.languages import COOKIE, KEPT_S, LANGUAGES

blueprint: Final = Blueprint("language", __name__)


@blueprint.post("/language")
def choose() -> Response:
    """Remember the language in a cookie, and go back."""
    onward = local_path(request.form.get("next")) or url_for("home.start")
    response = redirect(onward, 303)
    chosen = request.form.get("language", "")
    if chosen in LANGUAGES:
        response.set_cookie(COOKIE, chosen, max_age=KEPT_S, httponly=True, samesite="Lax", path="/")
    return response
