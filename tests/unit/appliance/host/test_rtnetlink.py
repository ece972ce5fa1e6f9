"""What needs no privilege; tests/netns/host changes things."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from appliance.host.errors import NetlinkError
from appliance.host.rtmessages import FR_ACT_TO_TBL, IFF_LOOPBACK, RT_TABLE_MAIN, Route, Rule
from appliance.host.rtnetlink import RtNetlink

NOBODYS_TABLE = 517_099


def test_the_loopback_interface_is_found_by_its_name() -> None:
    with RtNetlink() as rtnetlink:
        link = rtnetlink.link("lo")
        assert link is not None
        assert link.flags & IFF_LOOPBACK
        assert link.index in {one.index for one in rtnetlink.links()}
        assert rtnetlink.link("no-such-link") is None


def test_a_table_that_nobody_made_is_empty() -> None:
    with RtNetlink() as rtnetlink:
        assert rtnetlink.routes(NOBODYS_TABLE) == []


def test_the_rule_of_the_main_table_is_there() -> None:
    with RtNetlink() as rtnetlink:
        main = [rule for rule in rtnetlink.rules() if rule.table == RT_TABLE_MAIN]
    assert socket.AF_INET in {rule.family for rule in main}


def test_a_refused_change_comes_back_with_the_reason_and_the_others_are_tried() -> None:
    networks = [ipaddress.ip_network(f"198.51.100.{n}/32") for n in (1, 2)]
    routes = [Route(network, NOBODYS_TABLE, link=2**30) for network in networks]
    rule = Rule(socket.AF_INET, 32_000, FR_ACT_TO_TBL, NOBODYS_TABLE)
    with RtNetlink() as rtnetlink:
        refused = rtnetlink.change_routes(remove=routes)
        assert [route for route, _ in refused] == routes
        assert all(error.errno and str(error) for _, error in refused)
        assert [one for one, _ in rtnetlink.change_rules(remove=[rule])] == [rule]
        assert rtnetlink.change_routes() == []


def test_a_closed_socket_is_of_no_use() -> None:
    rtnetlink = RtNetlink()
    rtnetlink.close()
    with pytest.raises(NetlinkError, match="Bad file descriptor"):
        rtnetlink.links()
