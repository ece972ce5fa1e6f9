"""Hosts that may enter the mesh, an exit node's DNS and IPv6, and marks for other firewalls.

peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                           └── wan ── web, and beyond it 198.51.100.7
"""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.protocol.tailcfg import FilterRule, NetPortRange
from tests.netns.gateway.conftest import (
    EXIT,
    HOME_LAN,
    HOME_LAN6,
    HOME_MESH,
    HOME_MESH6,
    HOME_WAN6,
    LAN,
    LAN6,
    OPEN,
    PEER,
    PEER6,
    PRINTER,
    ROUTER,
    TUNNEL,
    WEB,
    Home,
    allow,
    hardware,
    networks,
)
from tests.netns.gateway.test_matrix import INTERNET
from tests.support.boxes import QUICK_S
from tests.support.boxtalk import is_blocked, seen_from, tcp_server
from tests.support.rawpackets import TCP, Cable, ears, packet, tcp

pytestmark = pytest.mark.netns

FAR, FAR6 = "198.51.100.7", "2001:db8:e::7"
SITE = replace(ROUTER, snat=False, entering=networks(LAN, LAN6), filter=())


def test_hosts_of_an_entering_network_reach_peers_and_are_seen_as_themselves(home: Home) -> None:
    """The rules are for what comes from the mesh; the far site has its own for what goes there."""
    home.apply(SITE)
    with tcp_server(home.peer, PEER, 80), tcp_server(home.peer, PEER6, 80):
        assert seen_from(home.printer, PEER, 80) == PRINTER
        assert seen_from(home.printer, PEER6, 80) == "fd00:1::10"
    assert home.printer.pings(PEER)
    assert home.peer.is_deaf_to(PRINTER), "nothing is allowed the other way round"


@pytest.mark.parametrize(
    "config",
    [
        replace(SITE, entering=frozenset()),
        replace(SITE, entering=networks("192.168.7.0/24")),
        ROUTER,
    ],
    ids=["none", "another", "behind NAT"],
)
def test_hosts_of_other_networks_do_not_enter(home: Home, config: GatewayConfig) -> None:
    home.apply(config)
    with tcp_server(home.peer, PEER, 80):
        assert is_blocked(home.printer, PEER, 80)
    assert home.printer.is_deaf_to(PEER)


def test_nobody_enters_from_the_uplink_or_beyond_what_is_routed(home: Home) -> None:
    home.apply(SITE)
    home.web.ip(f"route add 100.64.0.0/10 via {'203.0.113.1'}")
    home.web.ip("addr add 192.168.1.77/32 dev lo")
    assert home.web.is_deaf_to(PEER)
    home.home.ip(f"route add 100.64.0.9 dev {TUNNEL}")
    home.peer.ip("addr add 100.64.0.9/32 dev tun")
    assert home.printer.is_deaf_to("100.64.0.9"), "in the mesh, though no route of ours leads there"


def test_the_middle_of_a_strange_connection_does_not_enter(home: Home) -> None:
    """Such as the rest of one that was cut, once the kernel has forgotten it."""
    home.apply(SITE)
    segment = tcp(PRINTER, PEER, (4000, 80), b"middle", flags=0x18)
    with ears(home.peer, [TCP]) as ear:
        for data in (segment, tcp(PRINTER, PEER, (4001, 80), b"begins")):
            with home.printer.inside():
                cable = Cable("eth0", hardware(home.home, "lan"), hardware(home.printer, "eth0"))
            cable.send(packet(PRINTER, PEER, TCP, data))
            cable.close()
        heard = b"".join(ear.heard(QUICK_S))
    assert b"begins" in heard
    assert b"middle" not in heard


def test_users_of_the_exit_and_nobody_else_reach_its_dns(home: Home) -> None:
    everywhere = tuple(NetPortRange(ip=ip) for ip in INTERNET.split())
    users = FilterRule(src_ips=(PEER, PEER6), dst_ports=everywhere)
    config = replace(EXIT, filter=(users,), exit_dns_port=8053)
    with tcp_server(home.home, HOME_MESH, 8053), tcp_server(home.home, HOME_MESH6, 8053):
        home.apply(config)
        assert seen_from(home.peer, HOME_MESH, 8053) == PEER
        assert seen_from(home.peer, HOME_MESH6, 8053) == PEER6
        home.apply(replace(config, filter=(replace_source(users, "100.64.0.3"),)))
        assert is_blocked(home.peer, HOME_MESH, 8053)
        home.apply(replace(config, serve_exit=False))
        assert is_blocked(home.peer, HOME_MESH, 8053)


def replace_source(rule: FilterRule, source: str) -> FilterRule:
    return FilterRule(src_ips=(source,), dst_ports=rule.dst_ports)


def test_an_exit_without_ipv6_answers_at_once_and_lets_nothing_out(home: Home) -> None:
    home.web.run(f"ip addr add {FAR6}/128 dev lo")
    home.apply(replace(EXIT, exit_ipv6=False))
    with tcp_server(home.web, FAR6, 80), home.peer.inside():
        began = time.monotonic()
        with pytest.raises(ConnectionRefusedError):  # by the gateway: the server would not
            socket.create_connection((FAR6, 80), 3)
        print(f"refused after {(time.monotonic() - began) * 1e3:.0f} ms")
    home.web.run(f"ip addr add {FAR}/32 dev lo")
    assert home.peer.pings(FAR), "IPv4 goes on"


def test_an_exit_whose_ipv6_vanished_answers_at_once_too(home: Home) -> None:
    """The kernel has no route then, and says so by itself."""
    home.apply(EXIT)
    home.home.run("ip -6 route del default")
    with home.peer.inside(), pytest.raises(OSError, match=r"unreachable|No route"):
        socket.create_connection((FAR6, 80), 3)


@pytest.mark.parametrize("config", [ROUTER, replace(ROUTER, snat=False)], ids=["nat", "plain"])
def test_every_admitted_packet_is_marked_both_ways_before_other_firewalls_are_asked(
    home: Home, config: GatewayConfig
) -> None:
    home.home.run("nft add table inet other")
    home.home.run("nft add chain inet other f { type filter hook forward priority 0; }")
    home.home.run(
        "nft add rule inet other f meta mark and 0xff0000 != { 0x20000, 0x40000 } counter"
    )
    home.apply(config)
    with tcp_server(home.printer, PRINTER, 80):
        assert seen_from(home.peer, PRINTER, 80) in (HOME_LAN, PEER)
    assert home.peer.pings(PRINTER)
    assert "packets 0 " in home.home.run("nft list chain inet other f")


def test_own_addresses_in_the_lan_are_reached_from_the_mesh_by_rule(home: Home) -> None:
    home.apply(replace(ROUTER, filter=(allow("*", HOME_LAN, 22), allow("*", HOME_LAN6, 22))))
    with tcp_server(home.home, HOME_LAN, 22), tcp_server(home.home, HOME_LAN, 23):
        assert seen_from(home.peer, HOME_LAN, 22) == PEER
        assert is_blocked(home.peer, HOME_LAN, 23)
    assert home.peer.is_deaf_to(HOME_WAN6)


def test_a_host_that_forwards_for_others_keeps_them_out_of_the_mesh(home: Home) -> None:
    """It is no subnet router of ours, but it routes."""
    home.apply(OPEN)
    home.home.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    home.web.ip(f"route add 192.168.1.0/24 via {'203.0.113.1'}")
    assert home.printer.pings(WEB)
    for address in (PEER, PEER6, HOME_MESH, HOME_MESH6):
        assert home.printer.is_deaf_to(address), address
    assert home.peer.is_deaf_to(PRINTER)
