from dataclasses import replace
from ipaddress import ip_address

from appliance.agent.doctor.policy import MAX_NAMED, reach_of, who_may_reach
from appliance.agent.plan.inputs import Inputs
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from tests.support.netmaps import LAN, inputs, node

HOST = ip_address("192.168.1.20")
PHONE = node(3, "phone")


def rule(source: str, destination: str, first: int, last: int, *proto: int) -> FilterRule:
    ports = NetPortRange(ip=destination, ports=PortRange(first=first, last=last))
    return FilterRule(src_ips=(source,), dst_ports=(ports,), ip_proto=proto or None)


def given(*rules: FilterRule, peers: int = 1) -> Inputs:
    others = [node(number, f"phone{number}") for number in range(4, 3 + peers)]
    found = inputs(node(1, "me", LAN), PHONE, *others, lan=(LAN,), advertise_routes=("auto",))
    return replace(found, netmap=replace(found.netmap, filter_chunks={"base": rules}))


def test_ports_and_protocols_are_named() -> None:
    rules = (
        rule("100.64.0.3", "192.168.1.0/24", 80, 80, 6),
        rule("100.64.0.0/10", "192.168.1.20", 5000, 5010, 17),
        rule("100.64.0.9", "*", 0, 65535),
    )
    assert who_may_reach(given(*rules), HOST) == ("phone (tcp 80, udp 5000-5010)",)


def test_everything_is_all() -> None:
    assert who_may_reach(given(rule("*", "*", 0, 65535)), HOST) == ("phone (all)",)


def test_many_peers_are_counted() -> None:
    found = who_may_reach(given(rule("*", "*", 0, 65535), peers=20), HOST)
    assert len(found) == MAX_NAMED + 1
    assert found[-1] == "12 more"


def test_what_one_peer_may_reach_here() -> None:
    rules = (rule("100.64.0.3", "100.64.0.1", 22, 22, 6), rule("*", str(LAN), 0, 65535))
    assert reach_of(given(*rules), PHONE) == ("this node (tcp 22)", f"{LAN} (all)")
    assert reach_of(given(), PHONE) == ()
