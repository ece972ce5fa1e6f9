"""What the views of one application share: settings, the two API clients, the store, the clock."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import current_app

from appliance.adminapi.client import AdminClient
from appliance.localapi.client import LocalClient
from webui.hosts import OwnNames
from webui.settings import Settings
from webui.store import Store, boot_seconds

EXTENSION: Final = "latchkey"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a view may reach."""

    settings: Settings
    local: LocalClient
    admin: AdminClient
    store: Store
    names: OwnNames
    now: Callable[[], float] = field(default=boot_seconds)
    """Seconds since the boot."""
    pause: Callable[[float], None] = field(default=time.sleep)

    @property
    def session_s(self) -> float:
        """How long a session lives however busy it is."""
        return self.settings.session_hours * 3600.0


def services() -> Services:
    """Return those of the present application."""
    found = current_app.extensions[EXTENSION]
    assert isinstance(found, Services)  # noqa: S101 - set by create_app alone
    return found
