"""Links, addresses, routes and rules as `ip` sees them too.

machine eth0 192.168.1.5, fd00:1::5 ──── lan router
        br0  (alias "the LAN"), tap port, 10.9.0.1
"""

from __future__ import annotations

import errno
import ipaddress
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.host.errors import NetlinkError
from appliance.host.rtmessages import (
    FR_ACT_TO_TBL,
    FR_ACT_UNREACHABLE,
    IFA_F_DEPRECATED,
    IFA_F_NODAD,
    RT_TABLE_MAIN,
    RTN_THROW,
    Address,
    Link,
    Route,
    Rule,
)
from appliance.host.rtnetlink import RtNetlink
from tests.support.boxes import Box, fresh_boxes, join, why_no_boxes

pytestmark = pytest.mark.netns

TABLE, PROTOCOL = 5170, 76


@pytest.fixture
def machine() -> Iterator[Box]:
    reason = why_no_boxes()
    if reason:
        pytest.skip(reason)
    with fresh_boxes("machine", "router") as (machine, router):
        join(machine, "eth0", router, "lan")
        join(machine, "port", router, "other")
        for command in (
            "link add br0 type bridge",
            "link set br0 up alias the-LAN",
            "link set port master br0",
            "link set eth0 mtu 1400",
            "addr add 192.168.1.5/24 dev eth0",
            "addr add fd00:1::5/64 dev eth0 nodad",
            "addr add 2001:db8::5/64 dev eth0 nodad preferred_lft 0",
            "addr add 10.9.0.1 peer 10.9.0.2/32 dev br0",
        ):
            machine.run(f"ip {command}")
        yield machine


def shown(machine: Box, command: str) -> Any:
    return json.loads(machine.run(f"ip -j -d {command}") or "[]")


def test_the_links_are_those_that_ip_shows(machine: Box) -> None:
    with machine.inside(), RtNetlink() as rtnetlink:
        links = rtnetlink.links()
    indexes = {link.name: link.index for link in links}
    assert sorted(links, key=lambda link: link.index) == [
        Link(
            row["ifindex"],
            row["ifname"],
            row["mtu"],
            next(link.flags for link in links if link.index == row["ifindex"]),
            row.get("linkinfo", {}).get("info_kind"),
            row.get("ifalias"),
            indexes[row["master"]] if "master" in row else 0,
        )
        for row in shown(machine, "link show")
    ]
    by_name = {link.name: link for link in links}
    assert by_name["br0"].alias == "the-LAN"
    assert by_name["port"].master == by_name["br0"].index
    assert {"UP" in row["flags"] for row in shown(machine, "link show up")} == {True}
    assert {link.name for link in links if link.is_up} == {
        row["ifname"] for row in shown(machine, "link show up")
    }


def test_the_addresses_are_those_that_ip_shows(machine: Box) -> None:
    with machine.inside(), RtNetlink() as rtnetlink:
        addresses = rtnetlink.addresses()
    assert {(address.link, str(address.interface)) for address in addresses} == {
        (row["ifindex"], f"{address['local']}/{address['prefixlen']}")
        for row in shown(machine, "addr show")
        for address in row["addr_info"]
    }
    deprecated = [str(a.interface) for a in addresses if a.flags & IFA_F_DEPRECATED]
    assert deprecated == ["2001:db8::5/64"]


def test_the_routes_are_those_that_ip_shows(machine: Box) -> None:
    for command in (
        "route add default via 192.168.1.1 metric 100",
        "route add 203.0.113.0/24 nexthop via 192.168.1.2 dev eth0 nexthop via 10.9.0.2 dev br0",
        "route add default via fd00:1::1",
        "route add 2001:db8:7::/64 nexthop via fd00:1::2 dev eth0 nexthop via fd00:1::3 dev eth0",
        "route add unreachable 10.66.0.0/16",
        f"route add 10.67.0.0/16 dev eth0 table {TABLE}",
    ):
        machine.run(f"ip {command}")
    with machine.inside(), RtNetlink() as rtnetlink:
        names = {link.index: link.name for link in rtnetlink.links()}
        routes = rtnetlink.routes(RT_TABLE_MAIN)
        [other] = rtnetlink.routes(TABLE)
    found = {
        (str(r.destination), names.get(r.link), str(r.gateway or ""), r.priority) for r in routes
    }
    rows = shown(machine, "-4 route show") + shown(machine, "-6 route show")
    assert len(rows) == len(routes)
    assert found == {_as_ip_says(row) for row in rows}
    assert (str(other.destination), other.table, names[other.link]) == (
        "10.67.0.0/16",
        TABLE,
        "eth0",
    )


def _as_ip_says(row: dict[str, Any]) -> tuple[str, str | None, str, int]:
    hop = row["nexthops"][0] if "nexthops" in row else row
    gateway = hop.get("gateway", "")
    v6 = "pref" in row or ":" in row["dst"] + gateway
    dst = row["dst"].replace("default", "::/0" if v6 else "0.0.0.0/0")
    return str(ipaddress.ip_network(dst)), hop.get("dev"), gateway, row.get("metric", 0)


def test_an_interface_of_ours_is_made_changed_and_removed(machine: Box) -> None:
    with machine.inside(), RtNetlink() as rtnetlink:
        rtnetlink.add_link("lk0", "bridge")
        link = rtnetlink.link("lk0")
        assert link is not None
        assert (link.kind, link.is_up, link.alias) == ("bridge", False, None)
        with pytest.raises(NetlinkError) as twice:
            rtnetlink.add_link("lk0", "bridge")
        assert twice.value.errno == errno.EEXIST
        rtnetlink.set_link(link.index, up=True, mtu=1280, alias="latchkey")
        [row] = shown(machine, "link show dev lk0")
        assert (row["mtu"], row["ifalias"], "UP" in row["flags"]) == (1280, "latchkey", True)
        rtnetlink.set_link(link.index, up=False)
        changed = rtnetlink.link("lk0")
        assert changed is not None
        assert (changed.is_up, changed.mtu, changed.alias) == (False, 1280, "latchkey")
        rtnetlink.delete_link(link.index)
        assert rtnetlink.link("lk0") is None
        with pytest.raises(NetlinkError, match="No such device"):
            rtnetlink.set_link(link.index, up=True)


@pytest.mark.parametrize("text", ["100.64.0.1/32", "10.0.7.1/24", "fd7a:115c:a1e0::1/128"])
def test_an_address_is_given_and_taken(machine: Box, text: str) -> None:
    interface = ipaddress.ip_interface(text)
    with machine.inside(), RtNetlink() as rtnetlink:
        link = rtnetlink.link("br0")
        assert link is not None
        address = Address(link.index, interface, IFA_F_NODAD if interface.version == 6 else 0)
        rtnetlink.add_address(address)
        rtnetlink.add_address(address)
        [row] = shown(machine, "addr show dev br0")
        local = {(a["local"], a["prefixlen"]) for a in row["addr_info"]}
        assert (str(interface.ip), interface.network.prefixlen) in local
        [mine] = [one for one in rtnetlink.addresses() if one.interface == interface]
        assert mine.flags & address.flags == address.flags
        rtnetlink.delete_address(mine)
        assert interface not in {one.interface for one in rtnetlink.addresses()}


def test_routes_are_written_read_back_the_same_and_removed(machine: Box) -> None:
    with machine.inside(), RtNetlink() as rtnetlink:
        eth0 = rtnetlink.link("eth0")
        assert eth0 is not None
        routes = {
            _route("100.64.0.0/10", link=eth0.index),
            _route("0.0.0.0/0", link=eth0.index, gateway=ipaddress.ip_address("192.168.1.1")),
            _route("192.168.7.0/24", kind=RTN_THROW),
            _route("fd7a:115c:a1e0::/48", link=eth0.index, priority=1024),
            _route("::/0", link=eth0.index, gateway=ipaddress.ip_address("fd00:1::1"), priority=7),
        }
        assert rtnetlink.change_routes(add=routes) == []
        assert set(rtnetlink.routes(TABLE)) == routes
        rows = shown(machine, f"-4 route show table {TABLE}")
        assert {(row["dst"], row["type"], row["protocol"]) for row in rows} == {
            ("100.64.0.0/10", "unicast", str(PROTOCOL)),
            ("default", "unicast", str(PROTOCOL)),
            ("192.168.7.0/24", "throw", str(PROTOCOL)),
        }
        nowhere = _route("10.99.0.0/16", link=9999)
        again = _route("100.64.0.0/10", link=eth0.index)
        refused = rtnetlink.change_routes(add=[nowhere, again, _route("10.98.0.0/16", link=1)])
        assert [(route, error.errno) for route, error in refused] == [
            (nowhere, errno.ENODEV),
            (again, errno.EEXIST),
        ]
        assert rtnetlink.change_routes(remove=rtnetlink.routes(TABLE)) == []
        assert rtnetlink.routes(TABLE) == []


def _route(destination: str, **values: Any) -> Route:
    return Route(ipaddress.ip_network(destination), TABLE, protocol=PROTOCOL, **values)


def test_rules_are_written_read_back_the_same_and_removed(machine: Box) -> None:
    rules = {
        Rule(family, priority, action, table, mark, mask, PROTOCOL)
        for family in (socket.AF_INET, socket.AF_INET6)
        for priority, action, table, mark, mask in (
            (5110, FR_ACT_TO_TBL, RT_TABLE_MAIN, 0x80000, 0xFF0000),
            (5150, FR_ACT_UNREACHABLE, 0, 0x80000, 0xFF0000),
            (5170, FR_ACT_TO_TBL, TABLE, 0, 0),
        )
    }
    with machine.inside(), RtNetlink() as rtnetlink:
        before = rtnetlink.rules()
        assert rtnetlink.change_rules(add=rules) == []
        assert {rule for rule in rtnetlink.rules() if rule.protocol == PROTOCOL} == rules
        for family in ("-4", "-6"):
            rows = [row for row in shown(machine, f"{family} rule show") if "protocol" in row]
            ours = [row for row in rows if row["protocol"] == str(PROTOCOL)]
            assert [(row["priority"], row.get("fwmark"), row.get("fwmask")) for row in ours] == [
                (5110, "0x80000", "0xff0000"),
                (5150, "0x80000", "0xff0000"),
                (5170, None, None),
            ]
            assert [row.get("table") for row in ours if "action" not in row] == ["main", str(TABLE)]
        assert rtnetlink.change_rules(remove=rules) == []
        assert rtnetlink.rules() == before
