"""views: one module, with one blueprint, for each task that the owner has.

A new view is entered in ``blueprints`` and, when it has a place in the menu, in ``NAVIGATION``.
"""

from typing import Final

from flask import Blueprint
from flask_babel import lazy_gettext as _l

from webui.views import (
    claim,
    dashboard,
    devices,
    home,
    language,
    login,
    mesh,
    networks,
    options,
)

NAVIGATION: Final = (
    ("dashboard.show", _l("Overview")),
    ("devices.show", _l("Devices")),
    ("networks.show", _l("Networks")),
    ("options.show", _l("Settings")),
)
"""Endpoint and label of what the menu offers once the box is part of a mesh."""


def blueprints() -> tuple[Blueprint, ...]:
    """Return those of every view."""
    return (
        home.blueprint,
        claim.blueprint,
        login.blueprint,
        language.blueprint,
        mesh.blueprint,
        networks.blueprint,
        devices.blueprint,
        dashboard.blueprint,
        options.blueprint,
    )
