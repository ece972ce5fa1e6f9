from ipaddress import ip_address, ip_interface, ip_network

from appliance.agent.networks import networks_found
from appliance.host.medium import Medium
from appliance.host.network import DefaultRoute, Interface, NetworkState
from appliance.localapi.types import NetworkFound


def interface(name: str, *addresses: str, kind: str | None = None, cable: bool = True) -> Interface:
    found = tuple(map(ip_interface, addresses))
    networks = tuple(address.network for address in found)
    return Interface(len(name), name, kind, found, networks, is_cable=cable)


HOME = NetworkState(
    interfaces=(
        interface("docker0", "172.17.0.1/16", kind="bridge", cable=False),
        interface("eth0", "192.168.1.10/24", "2001:db8:2::10/64"),
        interface("tun0", "10.8.0.2/24", kind="tun"),
        interface("wlan0", "10.50.0.10/24"),
        interface("wwan0", "10.9.0.2/31"),
    ),
    default_routes=(
        DefaultRoute(4, "eth0", ip_address("192.168.1.1"), 100),
        DefaultRoute(4, "wlan0", ip_address("10.99.0.1"), 600),
    ),
)


def found() -> dict[str, NetworkFound]:
    def medium_of(name: str) -> Medium:
        return Medium.WIFI if name.startswith("wlan") else Medium.ETHERNET

    return {network.prefix: network for network in networks_found(HOME, medium_of).networks}


def test_the_lan_is_described_whole() -> None:
    assert found()["192.168.1.0/24"] == NetworkFound(
        interface="eth0",
        kind="ethernet",
        prefix="192.168.1.0/24",
        addresses=("192.168.1.10",),
        is_uplink=True,
        gateway="192.168.1.1",
        advertisable=True,
    )


def test_what_can_be_offered_comes_first_and_uplinks_before_others() -> None:
    assert list(found())[:2] == ["192.168.1.0/24", "10.50.0.0/24"]


def test_a_gateway_elsewhere_is_not_of_this_network() -> None:
    wifi = found()["10.50.0.0/24"]
    assert (wifi.kind, wifi.is_uplink, wifi.gateway, wifi.advertisable) == ("wifi", True, "", True)


def test_each_network_that_is_no_home_says_why() -> None:
    reasons = {p: n.reason for p, n in found().items() if not n.advertisable}
    assert set(reasons) == {"172.17.0.0/16", "2001:db8:2::/64", "10.8.0.0/24", "10.9.0.2/31"}
    assert "Containers" in reasons["172.17.0.0/16"]
    assert "public" in reasons["2001:db8:2::/64"]
    assert "tun0 is a tunnel" in reasons["10.8.0.0/24"]
    assert "too small" in reasons["10.9.0.2/31"]
    assert all(reason.endswith(".") for reason in reasons.values())


def test_what_is_to_be_offered_is_what_auto_offers() -> None:
    offered = {ip_network(p) for p, network in found().items() if network.advertisable}
    assert offered == HOME.lan_networks


def test_a_machine_without_networks_has_none() -> None:
    assert networks_found(NetworkState(), lambda _: Medium.ETHERNET).networks == ()
