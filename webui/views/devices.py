"""Devices: who is in the mesh, who waits, and how to add one."""

import re
from typing import Final

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from appliance.adminapi.types import ApproveNode, PreAuthKeyInfo
from webui import live
from webui.members import members_of, system_name
from webui.newdevice import PING_S, Joined, describe, make_key, owner_of, stir, use_of
from webui.overview import Registry, registry_of
from webui.platforms import PLATFORMS, Platform
from webui.qr import qr_svg
from webui.services import services

blueprint: Final = Blueprint("devices", __name__)
live.install(blueprint)

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


@blueprint.get("/devices")
def show() -> str:
    """Show who waits, the platforms, and who is in the mesh."""
    return render_template("devices/page.html", platforms=PLATFORMS.values(), **_list_context())


@blueprint.get("/devices/live")
def follow() -> Response:
    """Tell what changes on that page."""

    def look() -> live.Parts:
        context = _list_context()
        parts = ("waiting", "list")
        return {name: render_template(f"devices/{name}.html", **context) for name in parts}

    return live.respond(look)


@blueprint.get("/devices/add/<platform>")
def add(platform: str) -> str:
    """Show how one platform is pointed here; ``?key=`` watches for a key that was made before."""
    return _add_page(_platform(platform), watched=_id(request.args.get("key", "")))


@blueprint.post("/devices/add/<platform>")
def make(platform: str) -> str:
    """Make a key, and show it this once."""
    chosen = _platform(platform)
    key = make_key(services().admin)
    return _add_page(chosen, key=key, watched=key.id)


@blueprint.get("/devices/add/<platform>/live")
def follow_adding(platform: str) -> Response:
    """Tell who waits, and who has joined; a device that is there is pinged to find its path."""
    _platform(platform)
    watched = _id(request.args.get("key", ""))

    def look() -> live.Parts:
        context = _adding_context(watched, is_live=True)
        parts = ("waiting", "joined")
        return {name: render_template(f"devices/{name}.html", **context) for name in parts}

    return live.respond(look)


@blueprint.post("/devices/waiting/<entry>/approve")
def approve(entry: str) -> BaseResponse:
    """Let a device in."""
    admin = services().admin
    node = admin.approve_pending(_entry(entry), ApproveNode(user=owner_of(admin)))
    return redirect(url_for("devices.welcome", number=node.id), 303)


@blueprint.post("/devices/waiting/<entry>/reject")
def reject(entry: str) -> BaseResponse:
    """Turn a device away."""
    services().admin.reject_pending(_entry(entry))
    return redirect(url_for("devices.show"), 303)


@blueprint.get("/devices/<int:number>")
def welcome(number: int) -> str:
    """Show a device that has joined, and how it is reached."""
    return render_template("devices/welcome.html", number=number, joined=_joined(number))


@blueprint.get("/devices/<int:number>/live")
def follow_one(number: int) -> Response:
    """Tell how it is reached."""

    def look() -> live.Parts:
        joined = _joined(number, is_live=True)
        return {"joined": render_template("devices/joined.html", joined=joined)}

    return live.respond(look)


@blueprint.post("/devices/<int:number>/try")
def try_path(number: int) -> BaseResponse:
    """Ping a device, so that the best path to it is found."""
    own = services()
    node = own.admin.node(str(number))
    own.local.ping(node.addresses[0] if node.addresses else node.name, PING_S)
    return redirect(url_for("devices.welcome", number=number), 303)


def _joined(number: int, *, is_live: bool = False) -> Joined:
    own = services()
    status = own.local.status()
    joined = describe(own.admin.node(str(number)), status)
    if is_live:
        stir(joined, own.local, status)
    return joined


def _list_context() -> dict[str, object]:
    own = services()
    status = own.local.status()
    return {
        "members": members_of(status),
        "registry": registry_of(own),
        "server_url": own.local.prefs().control_url,
        "system_name": system_name,
    }


def _adding_context(watched: str, *, is_live: bool = False) -> dict[str, object]:
    own = services()
    registry = registry_of(own)
    used, node, joined = False, None, None
    if watched and registry.here:
        used, node = use_of(watched, own.admin, registry)
    if node is not None:
        status = own.local.status()
        joined = describe(node, status)
        if is_live:
            stir(joined, own.local, status)
    return {
        "registry": registry,
        "watched": watched,
        "used": used,
        "system_name": system_name,
        "joined": joined,
    }


def _add_page(platform: Platform, *, watched: str, key: PreAuthKeyInfo | None = None) -> str:
    context = _adding_context(watched)
    url = _server_url(context["registry"])
    command = platform.command if key is None else platform.key_command
    return render_template(
        "devices/add.html",
        platform=platform,
        server_url=url,
        qr=qr_svg(url) if platform.is_phone and url else "",
        key=key,
        key_qr=qr_svg(key.key) if platform.is_phone and key is not None else "",
        steps=platform.steps if key is None else platform.steps_with_key,
        command=command.format(url=url, key=key.key if key is not None else ""),
        **context,
    )


def _server_url(registry: object) -> str:
    """Return what devices log in to: the coordinator here, else the box's own."""
    if isinstance(registry, Registry) and registry.here:
        return services().admin.status().server_url
    return services().local.prefs().control_url


def _platform(name: str) -> Platform:
    found = PLATFORMS.get(name)
    if found is None:
        abort(404)
    return found


def _entry(text: str) -> str:
    """Return an ID that can be one; there is no page about anything else."""
    return _id(text) or abort(404)


def _id(text: str) -> str:
    """Return an ID of the coordinator's; anything else is nobody's."""
    return text if _ID.fullmatch(text) else ""
