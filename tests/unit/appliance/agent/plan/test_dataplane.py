from ipaddress import ip_address

from appliance.agent.plan.dataplane import TUNNEL_MTU, plan_dataplane
from appliance.protocol.addresses import AddrPort
from tests.support.netmaps import LAN, inputs, nets, node


def test_each_peer_starts_at_its_relay_proxy_with_its_accepted_prefixes() -> None:
    home = node(2, "home", LAN)
    proxy = AddrPort(ip_address("127.0.0.1"), 4000)
    config = plan_dataplane(inputs(node(1, "me"), home, accept_routes=True), lambda _key: proxy)
    assert config.mtu == TUNNEL_MTU
    assert [str(address) for address in config.addresses] == ["100.64.0.1/32"]
    peer = config.peers[home.key]
    assert peer.endpoint == proxy
    assert peer.allowed_ips == frozenset(nets("100.64.0.2/32", "192.168.1.0/24"))
