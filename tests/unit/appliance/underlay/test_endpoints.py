from ipaddress import ip_address

from appliance.protocol.addresses import AddrPort
from appliance.protocol.tailcfg import EndpointType
from appliance.underlay.endpoints import (
    MAX_PORTS_PER_IP,
    REMEMBERED_S,
    EndpointTracker,
    InterfaceAddress,
    plan_endpoints,
    usable_addresses,
)
from appliance.underlay.netcheck import Report
from tests.support.underlay import PORT, address

STUN4, STUN6 = address("203.0.113.7:50001"), address("[2001:db8::7]:41641")


def interfaces(*texts: str, name: str = "eth0") -> tuple[InterfaceAddress, ...]:
    return tuple(InterfaceAddress(ip_address(text), name) for text in texts)


def planned(
    report: Report, remembered: tuple[AddrPort, ...] = (), *texts: str
) -> list[tuple[str, EndpointType]]:
    found = plan_endpoints(report, remembered, interfaces(*texts), PORT)
    return [(str(e.address), e.kind) for e in found]


def test_what_servers_saw_comes_before_our_own_addresses() -> None:
    report = Report({(1, 4): 0.1}, (STUN4,), (STUN6,), mapping_varies=False)
    assert planned(report, (), "192.168.1.2") == [
        ("203.0.113.7:50001", EndpointType.STUN),
        ("[2001:db8::7]:41641", EndpointType.STUN),
        ("192.168.1.2:41641", EndpointType.LOCAL),
    ]


def test_behind_a_hard_nat_our_own_port_is_worth_a_guess() -> None:
    report = Report({(1, 4): 0.1}, (STUN4,), (), mapping_varies=True)
    assert planned(report)[1] == ("203.0.113.7:41641", EndpointType.STUN_LOCAL_PORT)


def test_an_address_is_offered_once() -> None:
    report = Report({(1, 4): 0.1}, (address("192.0.2.9"),))
    assert planned(report, (address("192.0.2.9"),), "192.0.2.9") == [
        ("192.0.2.9:41641", EndpointType.STUN)
    ]


def test_what_was_seen_lately_is_still_offered() -> None:
    assert planned(Report(), (STUN4,), "192.168.1.2") == [
        ("203.0.113.7:50001", EndpointType.STUN),
        ("192.168.1.2:41641", EndpointType.LOCAL),
    ]


def usable(*texts: str, alone: bool = False) -> list[str]:
    return [str(ip) for ip in usable_addresses(interfaces(*texts), alone=alone)]


def test_the_tailnets_ranges_are_never_offered() -> None:
    assert usable("100.64.0.1", "fd7a:115c:a1e0::1", "192.168.1.2") == ["192.168.1.2"]


def test_at_most_two_ipv6_addresses_of_a_subnet_are_offered() -> None:
    found = usable("2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1")
    assert found == ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"]


def test_link_local_and_unique_local_addresses_are_a_last_resort() -> None:
    assert usable("192.168.1.2", "169.254.1.1", "fd12::1", "fe80::1") == ["192.168.1.2"]
    assert usable("169.254.1.1", "fd12::1", "fe80::1") == ["169.254.1.1", "fd12::1"]


def test_the_loopback_is_offered_only_when_there_is_nothing_else() -> None:
    assert usable("127.0.0.1", alone=True) == ["127.0.0.1"]
    assert usable("127.0.0.1", alone=False) == []
    assert usable("127.0.0.1", "192.168.1.2", alone=True) == ["192.168.1.2"]


def test_other_peoples_tunnels_are_not_offered() -> None:
    assert usable_addresses(interfaces("10.1.1.1", name="ztabc"), alone=False) == []


def test_the_tracker_remembers_five_minutes() -> None:
    tracker = EndpointTracker()
    assert tracker.update([STUN4], 0.0) == []
    assert tracker.update([], REMEMBERED_S) == [STUN4]
    assert tracker.update([], REMEMBERED_S + 1) == []


def test_the_tracker_keeps_the_latest_six_ports_of_an_address() -> None:
    tracker = EndpointTracker()
    for i in range(20):
        tracker.update([AddrPort(STUN4.ip, 1000 + i)], float(i))
    assert [a.port for a in tracker.update([], 20.0)] == [1019, 1018, 1017, 1016, 1015, 1014]
    assert len(tracker._seen) == MAX_PORTS_PER_IP


def test_the_tracker_forgets_on_a_new_network() -> None:
    tracker = EndpointTracker()
    tracker.update([STUN4], 0.0)
    tracker.forget()
    assert tracker.update([], 1.0) == []
