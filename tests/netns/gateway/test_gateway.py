"""What gets through a gateway and what does not, with real packets.

peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                           └── wan ── web 203.0.113.10, 2001:db8:f::10
"""

from __future__ import annotations

import socket
import struct
from dataclasses import replace

import pytest

from appliance.protocol.tailcfg import FilterRule, NetPortRange
from tests.netns.gateway.conftest import (
    ANYTHING,
    CLOSED,
    EXIT,
    HOME_LAN,
    HOME_LAN6,
    HOME_MESH,
    HOME_MESH6,
    HOME_WAN,
    HOME_WAN6,
    LAN,
    LAN6,
    OPEN,
    PEER,
    PEER6,
    PORT,
    PRINTER,
    PRINTER6,
    ROUTER,
    TUNNEL,
    WEB,
    WEB6,
    Home,
    allow,
    networks,
)
from tests.support.boxes import QUICK_S
from tests.support.boxtalk import is_blocked, seen_from, tcp_server, udp_arrives

pytestmark = pytest.mark.netns


def test_nothing_comes_from_a_tunnel_that_appears_after_the_gateway_was_closed(
    house: Home,
) -> None:
    house.apply(replace(CLOSED, advertised=networks(LAN), serve_exit=True))
    house.add_tunnel()
    for address in (HOME_MESH, HOME_MESH6, PRINTER, WEB):
        assert house.peer.is_deaf_to(address)
    house.apply(OPEN)
    assert house.peer.pings(HOME_MESH)
    house.apply(CLOSED)
    assert house.peer.is_deaf_to(HOME_MESH)


def test_peers_reach_the_subnet_and_the_printer_sees_the_routers_address(home: Home) -> None:
    home.apply(ROUTER)
    with tcp_server(home.printer, PRINTER, 80), tcp_server(home.printer, PRINTER6, 80):
        assert seen_from(home.peer, PRINTER, 80) == HOME_LAN
        assert seen_from(home.peer, PRINTER6, 80) == HOME_LAN6
    assert home.peer.pings(PRINTER)
    assert home.peer.pings(PRINTER6)


def test_without_snat_the_printer_sees_the_peer(home: Home) -> None:
    home.apply(replace(ROUTER, snat=False))
    with tcp_server(home.printer, PRINTER, 80), tcp_server(home.printer, PRINTER6, 80):
        assert seen_from(home.peer, PRINTER, 80) == PEER
        assert seen_from(home.peer, PRINTER6, 80) == PEER6


def test_a_subnet_that_is_not_advertised_stays_out_of_reach(home: Home) -> None:
    home.apply(OPEN)
    home.home.run("sysctl -qw net.ipv4.ip_forward=1")
    assert home.peer.is_deaf_to(PRINTER)
    home.apply(ROUTER)
    assert home.peer.pings(PRINTER)
    home.apply(OPEN)
    assert home.peer.is_deaf_to(PRINTER)


def test_the_filter_decides_about_ports_and_addresses(home: Home) -> None:
    rules = (allow(PEER, PRINTER, 80, 82), allow("100.64.0.3", PRINTER, 90))
    home.apply(replace(ROUTER, filter=rules))
    for port in (80, 82):
        with tcp_server(home.printer, PRINTER, port):
            assert seen_from(home.peer, PRINTER, port) == HOME_LAN
    for port in (79, 83, 90):
        with tcp_server(home.printer, PRINTER, port):
            assert is_blocked(home.peer, PRINTER, port), port
    assert home.peer.pings(PRINTER), "echo goes wherever any port is open"
    assert home.peer.is_deaf_to(HOME_LAN)
    assert home.peer.is_deaf_to(HOME_MESH)


def test_the_filter_decides_about_protocols(home: Home) -> None:
    only_udp = FilterRule(src_ips=("*",), dst_ports=(NetPortRange(ip=HOME_MESH),), ip_proto=(17,))
    home.apply(replace(OPEN, filter=(only_udp,)))
    with tcp_server(home.home, HOME_MESH, 80):
        assert is_blocked(home.peer, HOME_MESH, 80)
    assert udp_arrives(home.peer, HOME_MESH, home.home) == PEER
    assert udp_arrives(home.peer, HOME_MESH6, home.home) is None


def test_the_machines_own_address_in_an_advertised_subnet_is_reachable(home: Home) -> None:
    home.apply(OPEN)
    assert home.peer.is_deaf_to(HOME_LAN)
    home.apply(ROUTER)
    assert home.peer.pings(HOME_LAN)
    assert home.peer.is_deaf_to(HOME_WAN)


def test_an_exit_node_gives_the_internet_but_neither_lan_nor_itself(home: Home) -> None:
    home.apply(EXIT)
    with tcp_server(home.web, WEB, 80):
        # Its own uplink network is local, so only what is beyond it counts as the internet.
        assert is_blocked(home.peer, WEB, 80)
    home.web.run("ip addr add 198.51.100.7/32 dev lo")
    home.web.run("ip addr add 2001:db8:e::7/128 dev lo")
    with tcp_server(home.web, "198.51.100.7", 80), tcp_server(home.web, "2001:db8:e::7", 80):
        assert seen_from(home.peer, "198.51.100.7", 80) == HOME_WAN
        assert seen_from(home.peer, "2001:db8:e::7", 80) == HOME_WAN6
    for address in (PRINTER, PRINTER6, HOME_LAN, HOME_WAN, HOME_WAN6):
        assert home.peer.is_deaf_to(address), address


def test_exit_traffic_is_masqueraded_even_without_snat_for_subnets(home: Home) -> None:
    home.apply(replace(EXIT, snat=False, advertised=networks(LAN)))
    home.web.run("ip addr add 198.51.100.7/32 dev lo")
    with tcp_server(home.web, "198.51.100.7", 80), tcp_server(home.printer, PRINTER, 80):
        assert seen_from(home.peer, "198.51.100.7", 80) == HOME_WAN
        assert seen_from(home.peer, PRINTER, 80) == PEER


def test_hosts_of_the_lan_do_not_enter_the_mesh_but_answers_do(home: Home) -> None:
    home.apply(replace(ROUTER, snat=False))
    with tcp_server(home.peer, PEER, 80), tcp_server(home.peer, PEER6, 80):
        assert seen_from(home.home, PEER, 80) == HOME_MESH
        assert is_blocked(home.printer, PEER, 80)
        assert is_blocked(home.printer, PEER6, 80)
    assert home.printer.is_deaf_to(HOME_MESH), "nor the gateway's address in the mesh"
    assert home.printer.is_deaf_to(HOME_MESH6)
    assert home.printer.pings(HOME_LAN)
    assert home.peer.pings(PRINTER)


def test_nobody_outside_the_tunnel_can_pretend_to_be_a_peer(home: Home) -> None:
    home.apply(ROUTER)
    for address, spoofed, flag in (
        (HOME_LAN, "100.64.0.9", ""),
        (HOME_LAN6, "fd7a:115c:a1e0::9", " nodad"),
    ):
        home.printer.run(f"ip addr add {spoofed} dev eth0{flag}")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with home.home.inside():
            listener = socket.socket(family, socket.SOCK_DGRAM)
            listener.bind((address, 0))
            listener.settimeout(QUICK_S)
        with listener, home.printer.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((spoofed, 0))
            sender.sendto(b"trust me", listener.getsockname()[:2])
            with pytest.raises(TimeoutError):
                listener.recv(100)


def test_a_neighbour_in_a_providers_shared_range_is_no_pretender(home: Home) -> None:
    home.home.run("ip addr add 100.72.0.1/24 dev wan")
    home.web.run("ip addr add 100.72.0.9/24 dev eth0")
    home.apply(replace(OPEN, local_networks=OPEN.local_networks | networks("100.72.0.0/24")))
    assert home.web.pings("100.72.0.1")


def test_tcp_segments_are_made_to_fit_the_tunnel(home: Home) -> None:
    home.home.run(f"ip link set {TUNNEL} mtu 1280")
    home.apply(replace(ROUTER, snat=False))
    # What the printer offers in its SYN-ACK goes into the tunnel.
    with tcp_server(home.printer, PRINTER, 80), home.peer.inside():
        connection = socket.create_connection((PRINTER, 80), timeout=2)
    with connection:
        segment = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    assert segment <= 1240


def test_packets_between_nodes_on_protocol_99_are_let_in(home: Home) -> None:
    home.apply(replace(OPEN, filter=()))
    with home.home.inside():
        listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, 99)
        listener.settimeout(QUICK_S)
    with listener, home.peer.inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, 99) as sender:
        sender.sendto(b"tsmp", (HOME_MESH, 0))
        assert listener.recv(100).endswith(b"tsmp")


def test_answers_come_back_although_nothing_is_allowed(home: Home) -> None:
    home.apply(replace(OPEN, filter=()))
    assert home.home.pings(PEER)
    assert home.home.pings(PEER6)
    assert home.peer.is_deaf_to(HOME_MESH)
    with tcp_server(home.peer, PEER, 80):
        assert seen_from(home.home, PEER, 80) == HOME_MESH


def test_multicast_stays_out_of_the_mesh(home: Home) -> None:
    """Only an exit node's WireGuard would take it."""
    home.apply(replace(OPEN, use_exit=True))
    with home.home.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(
            socket.IPPROTO_IP,
            socket.IP_MULTICAST_IF,
            struct.pack("4s4si", b"", b"", socket.if_nametoindex(TUNNEL)),
        )
        with pytest.raises(PermissionError):
            sender.sendto(b"who is there", ("224.0.0.251", 5353))


@pytest.mark.parametrize("strict", [0, 1, 2])
def test_with_an_exit_node_marked_and_unsolicited_packets_pass_reverse_path_checks(
    home: Home, strict: int
) -> None:
    for interface in ("all", "wan", TUNNEL):
        home.home.run(f"sysctl -qw net.ipv4.conf.{interface}.rp_filter={strict}")
    home.web.run("ip addr add 198.51.100.7/32 dev lo")
    home.web.run(f"ip route add {HOME_WAN}/32 dev eth0 src 198.51.100.7")
    # A far sender's packets come from a router that is known by its own address.
    assert home.web.pings(HOME_WAN)
    home.apply(replace(OPEN, use_exit=True))

    with home.home.inside():
        tunnel_port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tunnel_port.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x80000)
        tunnel_port.bind((HOME_WAN, PORT))
        tunnel_port.settimeout(QUICK_S)
    with tunnel_port, home.web.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.bind(("198.51.100.7", 0))
        far.settimeout(QUICK_S)
        far.sendto(b"unsolicited", (HOME_WAN, PORT))
        data, sender = tunnel_port.recvfrom(100)
        assert data == b"unsolicited"
        tunnel_port.sendto(b"answer", sender)
        assert far.recv(100) == b"answer"

    with home.home.inside():
        control = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with tcp_server(home.web, "198.51.100.7", 443), control:
        control.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x80000)
        control.settimeout(QUICK_S)
        control.connect(("198.51.100.7", 443))
        assert control.recv(100) == HOME_WAN.encode()


def test_subnet_router_and_exit_node_at_once_serve_both_families(
    home: Home,
) -> None:
    home.apply(replace(EXIT, filter=ANYTHING, advertised=networks(LAN, LAN6)))
    for address in (HOME_MESH, HOME_MESH6, PRINTER, PRINTER6, HOME_LAN, HOME_LAN6):
        assert home.peer.pings(address), address
    assert home.peer.is_deaf_to(WEB)
    assert home.peer.is_deaf_to(WEB6)
