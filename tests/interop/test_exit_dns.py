"""Names through an exit node when one of the two ends is the stock client, in both directions.

laptop ── hostel ──┬── internet ──┬── home ──┬── appliance (exit node)
phone (the hostel's name server)  vps        └── printer (home's name server)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.netns.lab import wait_until
from tests.netns.lab.resolver import NameServer, look_up, resolv_conf_of, set_name_server
from tests.support.interop import Interop, open_world
from tests.support.mesh import Node

pytestmark = pytest.mark.interop

SOON_S = 20.0


@contextmanager
def two_networks() -> Iterator[tuple[Interop, NameServer, NameServer]]:
    with open_world() as world:
        phone, printer = world.world.phone, world.world.printer
        set_name_server(world.world.laptop, phone.ip)
        set_name_server(world.world.appliance, printer.ip)
        yield world, NameServer(phone), NameServer(printer)


def leaves_through_home(client: Node, hostel: NameServer, home: NameServer, exit_ip: str) -> None:
    host = client.host
    client.wait_for_peer("appliance")
    before = resolv_conf_of(host)
    recording = host.capture("eth0", "port 53")
    client.set("--exit-node=appliance")
    wait_until(lambda: look_up(host, "first.example") == home.host.ip, SOON_S, "home answers")
    seen = len(hostel.names())
    for number in range(3):
        assert look_up(host, f"name{number}.example") == home.host.ip
        assert set(home.asked(f"name{number}.example")) == {exit_ip}
    assert len(hostel.names()) == seen
    recording.stop()
    client.set("--exit-node=")
    wait_until(lambda: resolv_conf_of(host) == before, SOON_S, "resolv.conf is back")


def test_a_stock_client_looks_names_up_through_our_exit_node() -> None:
    with two_networks() as (world, hostel, home):
        world.home_gateway()
        client = world.stock("laptop")
        client.set("--accept-dns=true")
        leaves_through_home(client, hostel, home, world.world.appliance.ip)


def test_our_agent_looks_names_up_through_a_stock_exit_node() -> None:
    with two_networks() as (world, hostel, home):
        appliance = world.world.appliance
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            appliance.set_sysctl(key, "1")
        world.stock("appliance", "--advertise-exit-node")
        world.coordinator.approve("appliance", "exit")
        leaves_through_home(world.agent("laptop"), hostel, home, appliance.ip)
