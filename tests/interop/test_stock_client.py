"""The stock client (tailscaled, TUN mode) on our coordinator and relay, and with our gateway.

laptop (tailscaled) ── hostel ──┬── internet ──┬── home ──┬── appliance (our agent)
                               vps, web                   ├── camera (tailscaled)
                                                          └── printer (a web page)
"""

from __future__ import annotations

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.web import client_seen
from tests.support.coordinator import RELAY
from tests.support.interop import Interop, page, udp_blocked

pytestmark = pytest.mark.interop


def test_it_joins_with_a_key_and_is_running(interop: Interop) -> None:
    laptop = interop.stock("laptop", "--accept-routes")
    status = laptop.status()
    assert status["BackendState"] == "Running"
    assert {"." in ip for ip in status["TailscaleIPs"]} == {True, False}
    assert not [text for text in status.get("Health") or [] if "coordination" in text]


def test_two_of_them_ping_each_other_directly_through_both_nats(interop: Interop) -> None:
    laptop, camera = interop.stock("laptop", "--accept-routes"), interop.stock("camera")
    laptop.wait_for_peer("camera")
    assert "pong from camera" in laptop.command("ping", "--until-direct", "camera")
    wait_until(lambda: laptop.direct_address("camera"), 5, "status shows the direct path")
    assert laptop.direct_address("camera").startswith(f"{interop.world.home.ip}:")
    assert client_seen(page(laptop, camera.ip)) == laptop.ip


def test_its_own_view_of_the_mesh_is_what_the_coordinator_told_it(interop: Interop) -> None:
    """The oracle: its netmap after all deltas, and the path that it uses, asked over c2n."""
    laptop, camera = interop.stock("laptop", "--accept-routes"), interop.stock("camera")
    netmap = interop.coordinator.netmap_of("laptop")
    assert f"{laptop.ip}/32" in netmap["SelfNode"]["Addresses"]
    [peer] = [peer for peer in netmap["Peers"] if peer["ComputedName"] == "camera"]
    assert f"{camera.ip}/32" in peer["AllowedIPs"]
    assert peer["Online"] is True
    assert peer["Key"] == interop.coordinator.node("camera")["node_key"]
    path = interop.coordinator.path_between("laptop", camera.ip)
    assert path["endpoint"].startswith(f"{interop.world.home.ip}:")


def test_two_of_them_reach_each_other_through_our_relay(interop: Interop) -> None:
    laptop, camera = interop.stock("laptop", "--accept-routes"), interop.stock("camera")
    laptop.wait_for_peer("camera")
    with udp_blocked(interop.world.hostel):
        # The dead direct path is still trusted for some seconds: the first pings go unanswered.
        pongs = laptop.command("ping", "--until-direct=false", "-c", "4", "camera", timeout_s=30)
        assert f"via DERP({RELAY})" in pongs
        wait_until(lambda: not laptop.direct_address("camera"), 15, "status shows the relayed path")
        assert client_seen(page(laptop, camera.ip)) == laptop.ip
        assert laptop.peer("camera")["Relay"] == RELAY
        assert interop.coordinator.path_between("laptop", camera.ip)["relay_code"] == RELAY


def test_it_reaches_the_printer_through_our_subnet_router(interop: Interop) -> None:
    appliance = interop.home_gateway()
    laptop = interop.stock("laptop", "--accept-routes")
    printer = interop.world.printer
    assert client_seen(page(laptop, printer.ip)) == appliance.host.ip
    wait_until(lambda: laptop.direct_address("appliance"), 20, "the path becomes direct")


def test_it_uses_our_exit_node_for_both_families(interop: Interop) -> None:
    interop.home_gateway()
    laptop = interop.stock("laptop", "--accept-routes")
    web, home = interop.world.web, interop.world.home
    assert client_seen(page(laptop, web.ip)) == interop.world.hostel.ip
    laptop.set("--exit-node=appliance")
    try:
        wait_until(
            lambda: client_seen(page(laptop, web.ip)) == home.ip, 10, "IPv4 leaves from home"
        )
        assert client_seen(page(laptop, web.ip6)) == home.ip6
    finally:
        laptop.set("--exit-node=")


def test_our_agent_and_the_stock_client_ping_each_other(interop: Interop) -> None:
    appliance = interop.home_gateway()
    laptop = interop.stock("laptop", "--accept-routes")
    appliance.wait_for_peer("laptop")
    assert "pong from laptop" in appliance.command("ping", "laptop")
    assert "pong from appliance" in laptop.command("ping", "appliance")
