from __future__ import annotations

import ipaddress

from appliance.host.network import Hold, NetworkState, Way, read_state
from appliance.host.rtmessages import (
    IFA_F_DEPRECATED,
    IFA_F_TENTATIVE,
    RTN_UNICAST,
    Address,
    Link,
    Route,
)

ON = 0x1 | 0x10000
LINKS = [
    Link(1, "lo", 65536, ON | 0x8),
    Link(2, "eth0", 1500, ON),
    Link(3, "docker0", 1500, ON, "bridge"),
    Link(4, "latchkey0", 1280, ON, "wireguard"),
    Link(5, "wlan0", 1500, 0),
    Link(6, "wg-office", 1420, ON, "wireguard"),
]


def address(link: int, text: str, flags: int = 0) -> Address:
    return Address(link, ipaddress.ip_interface(text), flags)


def route(link: int, text: str, gateway: str | None = None, priority: int = 0) -> Route:
    via = ipaddress.ip_address(gateway) if gateway else None
    return Route(
        ipaddress.ip_network(text), 254, RTN_UNICAST, link=link, gateway=via, priority=priority
    )


ADDRESSES = [
    address(1, "127.0.0.1/8"),
    address(2, "192.168.1.5/24"),
    address(2, "fd00:1::5/64"),
    address(2, "fe80::5/64"),
    address(3, "172.17.0.1/16"),
    address(4, "100.64.0.1/32"),
    address(5, "10.9.9.9/24"),
]
ROUTES = [
    route(2, "0.0.0.0/0", "192.168.1.1"),
    route(2, "192.168.1.0/24"),
    route(2, "fe80::/64"),
    route(3, "172.17.0.0/16"),
    route(4, "100.64.0.2/32"),
]


def state(*more: Route, addresses: list[Address] | None = None) -> NetworkState:
    return read_state(LINKS, addresses or ADDRESSES, [*ROUTES, *more], "latchkey0")


def texts(networks: object) -> set[str]:
    return {str(network) for network in networks}  # type: ignore[attr-defined]


def test_the_lan_is_what_is_private_at_the_uplink() -> None:
    assert texts(state().lan_networks) == {"192.168.1.0/24", "fd00:1::/64"}


def test_attached_networks_include_the_containers_bridge_but_not_the_tunnel() -> None:
    assert texts(state().attached_networks) == {"192.168.1.0/24", "fd00:1::/64", "172.17.0.0/16"}


def test_public_and_shared_networks_are_no_lan() -> None:
    addresses = [
        address(2, "203.0.113.5/24"),
        address(2, "100.72.0.5/24"),
        address(2, "2001:db8::5/64"),
        address(2, "fd7a:115c:a1e0:5::1/64"),
        address(2, "10.0.0.1/31"),
        address(2, "192.168.7.7/32"),
    ]
    found = read_state(LINKS, addresses, ROUTES[:1], "latchkey0")
    assert found.lan_networks == frozenset()
    assert "2001:db8::/64" in texts(found.attached_networks)
    assert "192.168.7.7/32" not in texts(found.attached_networks)


def test_another_vpn_with_the_default_route_makes_its_network_no_lan() -> None:
    more = route(6, "0.0.0.0/0", priority=5)
    found = state(more, addresses=[*ADDRESSES, address(6, "10.50.0.2/24")])
    assert [uplink.name for uplink in found.uplinks] == ["eth0", "wg-office"]
    assert "10.50.0.0/24" not in texts(found.lan_networks)


def test_an_attached_network_without_an_address_in_it_is_known_by_its_route() -> None:
    assert "2001:db8:5::/64" in texts(state(route(2, "2001:db8:5::/64")).attached_networks)


def test_networks_behind_a_router_are_not_attached() -> None:
    more = route(2, "10.20.0.0/16", "192.168.1.254")
    assert "10.20.0.0/16" not in texts(state(more).attached_networks)


def test_an_interface_that_is_off_does_not_exist() -> None:
    assert {one.name for one in state().interfaces} == {"eth0", "docker0", "wg-office"}
    assert "10.9.9.9" not in texts(state().addresses)


def test_addresses_are_those_that_work_now_and_from_elsewhere() -> None:
    found = state(
        addresses=[
            *ADDRESSES,
            address(2, "fd00:1::99/64", IFA_F_TENTATIVE),
            address(2, "fd00:1::98/64", IFA_F_DEPRECATED),
        ]
    )
    assert texts(found.addresses) == {"192.168.1.5", "fd00:1::5", "172.17.0.1"}


def test_the_best_default_route_comes_first() -> None:
    found = state(route(3, "0.0.0.0/0", "172.17.0.9", 50), route(2, "::/0", "fe80::1", 1024))
    assert [(one.version, one.interface) for one in found.default_routes] == [
        (4, "eth0"),
        (4, "docker0"),
        (6, "eth0"),
    ]


def test_changes_of_our_own_tunnel_are_no_change() -> None:
    later = [*ADDRESSES, address(4, "100.64.0.9/32")]
    assert state() == state(route(4, "10.0.0.0/8"), addresses=later)


def way(prefix: str, *more: Route) -> Way | None:
    return state(*more).way_to(ipaddress.ip_network(prefix))


def test_an_attached_network_is_the_closest_way() -> None:
    found = way("192.168.1.0/24", route(2, "192.168.0.0/16", "192.168.1.9"))
    assert found == Way(Hold.ATTACHED, "eth0", ipaddress.ip_network("192.168.1.0/24"))


def test_one_host_of_an_attached_network_is_attached() -> None:
    found = way("192.168.1.20/32")
    assert found is not None
    assert found.hold is Hold.ATTACHED


def test_who_has_a_part_of_a_network_has_a_way_into_it() -> None:
    found = way("192.168.0.0/16")
    assert found is not None
    assert (found.hold, str(found.network)) == (Hold.ATTACHED, "192.168.1.0/24")


def test_a_network_behind_another_router_is_routed() -> None:
    found = way("10.20.5.0/24", route(2, "10.20.0.0/16", "192.168.1.254"))
    assert found is not None
    assert (found.hold, found.interface, str(found.gateway)) == (
        Hold.ROUTED,
        "eth0",
        "192.168.1.254",
    )


def test_everything_else_goes_the_way_of_the_default_route() -> None:
    found = way("10.99.0.0/24")
    assert found is not None
    assert (found.hold, str(found.gateway)) == (Hold.DEFAULT, "192.168.1.1")
    assert way("2001:db8:9::/64") is None, "there is no default route for IPv6"


def test_a_route_over_an_interface_that_is_off_is_no_way() -> None:
    found = way("10.30.0.0/16", route(5, "10.30.0.0/16", "10.9.9.1"))
    assert found is not None
    assert found.hold is Hold.DEFAULT


def test_a_second_cable_is_lan_too_and_a_bridge_of_containers_is_not() -> None:
    links = [
        *LINKS,
        Link(7, "eth1", 1500, ON),
        Link(8, "br-lan", 1500, ON, "bridge"),
        Link(9, "eth2", 1500, ON, master=8),
        Link(10, "veth1", 1500, ON, "veth", master=3),
    ]
    addresses = [*ADDRESSES, address(7, "10.7.0.1/24"), address(8, "10.8.0.1/24")]
    found = read_state(links, addresses, ROUTES, "latchkey0")
    assert texts(found.lan_networks) == {
        "192.168.1.0/24",
        "fd00:1::/64",
        "10.7.0.0/24",
        "10.8.0.0/24",
    }


def test_a_machine_has_moved_when_an_address_at_its_uplink_is_gone() -> None:
    moved = [address(2, "192.168.7.5/24"), *ADDRESSES[2:]]
    assert state(addresses=moved).has_moved_from(state())
    assert not state(addresses=[*ADDRESSES, *moved]).has_moved_from(state())
    without_containers = [one for one in ADDRESSES if one.link != 3]
    assert not state(addresses=without_containers).has_moved_from(state())
