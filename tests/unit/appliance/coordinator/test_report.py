from ipaddress import ip_network

from appliance.coordinator.report import apply_report
from appliance.protocol.keys import DiscoPublic
from appliance.protocol.tailcfg import Hostinfo, MapRequest, NetInfo
from tests.support.snapshots import disco_key, node, node_key, snapshot


def report(**fields: object) -> MapRequest:
    return MapRequest(node_key=node_key(1), version=131, omit_peers=True, **fields)


STATE = snapshot(node(1), node(2))


def test_an_empty_report_changes_nothing() -> None:
    assert apply_report(STATE, 1, report()) is STATE
    assert apply_report(STATE, 99, report(endpoints=("192.0.2.1:1",))) is STATE


def test_a_repeated_report_changes_nothing() -> None:
    request = report(
        hostinfo=Hostinfo(hostname="node1", os="linux", net_info=NetInfo(preferred_derp=900)),
        endpoints=node(1).endpoints,
        disco_key=disco_key(1),
    )
    assert apply_report(STATE, 1, request) is STATE


def test_endpoints_disco_key_and_version_are_taken_over() -> None:
    request = MapRequest(
        node_key=node_key(1),
        version=142,
        endpoints=("192.0.2.9:1", "[2001:db8::1]:2", "nonsense"),
        disco_key=disco_key(7),
    )
    after = apply_report(STATE, 1, request).nodes[1]
    assert after.endpoints == ("192.0.2.9:1", "[2001:db8::1]:2")
    assert after.disco_key == disco_key(7)
    assert after.cap_version == 142


def test_a_zero_disco_key_is_none() -> None:
    assert apply_report(STATE, 1, report(disco_key=DiscoPublic.zero())) is STATE


def test_an_empty_list_of_endpoints_clears_them_except_on_a_stream() -> None:
    assert apply_report(STATE, 1, report(endpoints=())).nodes[1].endpoints == ()
    assert apply_report(STATE, 1, report(endpoints=(), stream=True)) is STATE


def test_a_host_description_without_net_info_keeps_the_home_relay() -> None:
    after = apply_report(STATE, 1, report(hostinfo=Hostinfo(hostname="node1", os="plan9")))
    assert after.nodes[1].home_derp == 900
    assert after.nodes[1].hostinfo.os == "plan9"


def test_the_preferred_relay_becomes_the_home_relay() -> None:
    info = Hostinfo(hostname="node1", net_info=NetInfo(preferred_derp=901))
    after = apply_report(STATE, 1, report(hostinfo=info)).nodes[1]
    assert after.home_derp == 901
    assert after.hostinfo.net_info is None


def test_no_preferred_relay_keeps_the_one_there_was() -> None:
    info = Hostinfo(hostname="node1", os="linux", net_info=NetInfo())
    assert apply_report(STATE, 1, report(hostinfo=info)) is STATE


def test_routes_that_are_no_longer_named_are_withdrawn() -> None:
    info = Hostinfo(hostname="node1", routable_ips=(ip_network("10.0.0.0/8"),))
    advertising = apply_report(STATE, 1, report(hostinfo=info))
    assert advertising.nodes[1].hostinfo.routable_ips == (ip_network("10.0.0.0/8"),)
    gone = apply_report(advertising, 1, report(hostinfo=Hostinfo(hostname="node1")))
    assert gone.nodes[1].hostinfo.routable_ips is None


def test_a_new_host_name_is_a_new_unique_name() -> None:
    after = apply_report(STATE, 1, report(hostinfo=Hostinfo(hostname="node2")))
    assert after.nodes[1].name == "node2-1"


def test_a_numbered_name_stays_while_the_host_name_does() -> None:
    state = snapshot(node(1, name="box-1", hostinfo=Hostinfo(hostname="box")))
    after = apply_report(state, 1, report(hostinfo=Hostinfo(hostname="Box", os="x")))
    assert after.nodes[1].name == "box-1"


def test_an_admins_name_stays() -> None:
    state = snapshot(node(1, name="chosen", name_fixed=True))
    after = apply_report(state, 1, report(hostinfo=Hostinfo(hostname="other")))
    assert after.nodes[1].name == "chosen"


def test_a_read_only_request_changes_nothing() -> None:
    assert apply_report(STATE, 1, report(endpoints=("192.0.2.9:1",), read_only=True)) is STATE
