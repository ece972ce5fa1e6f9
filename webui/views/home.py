"""The start page: sends everybody where they have to go next."""

from typing import Final

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response

from webui.services import services
from webui.steps import Step, next_step

blueprint: Final = Blueprint("home", __name__)

_PAGES: Final = {
    Step.MESH: "mesh.show",
    Step.CONNECT: "mesh.connecting",
    Step.NETWORKS: "networks.show",
    Step.DONE: "dashboard.show",
}


@blueprint.get("/")
def start() -> Response:
    """Send the owner to the step that is next, or to the overview."""
    own = services()
    return redirect(url_for(_PAGES[next_step(own.local, own.store)]), 303)
