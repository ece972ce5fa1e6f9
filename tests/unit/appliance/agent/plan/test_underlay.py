from datetime import timedelta
from ipaddress import ip_address

from appliance.agent.plan.underlay import plan_underlay
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPublic
from tests.support.netmaps import NOW, inputs, node


def test_a_peer_is_described_by_what_leads_to_it() -> None:
    peer = node(2, "home", endpoints=("192.0.2.1:41641", "nonsense"), home_derp=900)
    described = plan_underlay(inputs(node(1, "me"), peer)).peers[peer.key]
    assert described.endpoints == (AddrPort(ip_address("192.0.2.1"), 41641),)
    assert (described.home_derp, described.name) == (900, "home")
    assert described.disco_key == peer.disco_key


def test_a_zero_disco_key_is_none() -> None:
    peer = node(2, "home", disco_key=DiscoPublic.zero())
    assert plan_underlay(inputs(node(1, "me"), peer)).peers[peer.key].disco_key is None


def test_expired_peers_are_left_out() -> None:
    peer = node(2, "home", key_expiry=NOW - timedelta(seconds=1))
    assert not plan_underlay(inputs(node(1, "me"), peer)).peers
