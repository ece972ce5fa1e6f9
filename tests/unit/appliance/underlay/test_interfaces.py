import asyncio
import socket
from ipaddress import IPv4Address, ip_address

from appliance.underlay.endpoints import InterfaceAddress
from appliance.underlay.interfaces import (
    NetworkView,
    follow_network,
    observe_interfaces,
    observe_network,
)


def test_the_loopback_is_found() -> None:
    assert InterfaceAddress(IPv4Address("127.0.0.1"), "lo") in observe_interfaces()


def test_every_address_found_can_be_bound() -> None:
    for item in observe_interfaces():
        if item.ip.is_link_local:
            continue
        family = socket.AF_INET if item.ip.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((str(item.ip), 0))


def view(*texts: str, uplink: str = "192.168.1.2") -> NetworkView:
    addresses = frozenset(InterfaceAddress(ip_address(text), "eth0") for text in texts)
    return NetworkView(addresses, (ip_address(uplink), None))


def test_paths_survive_a_new_address_but_not_a_lost_one_nor_another_uplink() -> None:
    before = view("192.168.1.2")
    assert view("192.168.1.2", "10.0.0.1").holds_paths_of(before)
    assert not view("10.0.0.1").holds_paths_of(before)
    assert not view("192.168.1.2", uplink="10.0.0.1").holds_paths_of(before)


def test_the_loopback_and_the_tunnel_do_not_count() -> None:
    seen = observe_network(lambda _: None)
    assert all(not item.ip.is_loopback for item in seen.addresses)
    assert seen.uplinks == (None, None)


async def test_no_news_is_told_while_nothing_changes() -> None:
    told: list[NetworkView] = []
    looks = 0

    def observe() -> NetworkView:
        nonlocal looks
        looks += 1
        return view("192.168.1.2")

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow_network(observe, lambda _, new: told.append(new)))
        await asyncio.sleep(0.01)
        following.cancel()
    assert told == []
    assert looks == 1
