from __future__ import annotations

import ipaddress
import struct

from appliance.dataplane import genetlink
from appliance.host.netlink import attribute, attribute_u16, attribute_u32, nested
from appliance.protocol.addresses import AddrPort, IPNetwork
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.wireguard import DeviceChange, PeerChange

KEY, OTHER = NodePublic(bytes(range(32))), NodePublic(bytes(32 - n for n in range(32)))
PRIVATE = NodePrivate.from_seed(bytes(32))


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


def test_an_endpoint_update_has_the_bytes_of_the_kernels_header_file() -> None:
    # Written by hand after linux/wireguard.h: SET_DEVICE, IFNAME "wg0", one peer with its key,
    # the flag UPDATE_ONLY and a sockaddr_in.
    update = genetlink.encode_endpoint_update("wg0", KEY, AddrPort.parse("192.0.2.1:41641"))
    peer = (
        bytes.fromhex("2400 0100")
        + KEY.raw
        + bytes.fromhex("0800 0300 04000000")
        + bytes.fromhex("1400 0400 0200 a2a9 c0000201 0000000000000000")
    )
    assert update == (
        bytes.fromhex("01 01 0000")
        + bytes.fromhex("0800 0200")
        + b"wg0\0"
        + struct.pack("=HH", 4 + 4 + len(peer), 0x8008)
        + struct.pack("=HH", 4 + len(peer), 0x8000)
        + peer
    )


def test_an_ipv6_endpoint_carries_its_scope_as_a_number() -> None:
    endpoint = AddrPort(ipaddress.ip_address("fe80::1%3"), 5)
    raw = genetlink.encode_sockaddr(endpoint)
    assert raw == bytes.fromhex("0a00 0005 00000000 fe80" + "00" * 13 + "01 03000000")
    assert genetlink.parse_sockaddr(raw) == endpoint


def test_a_socket_address_of_another_family_is_none() -> None:
    assert genetlink.parse_sockaddr(b"") is None
    assert genetlink.parse_sockaddr(b"\x01\x00/var/run/some/socket/that/is/long") is None


def test_a_change_without_peers_is_one_request() -> None:
    change = DeviceChange(private_key=PRIVATE, fwmark=0x80000, listen_port=41641)
    [request] = genetlink.encode_set("wg0", change)
    device = genetlink.parse_device([request])
    assert (device.private_key, device.fwmark, device.listen_port) == (PRIVATE, 0x80000, 41641)


def test_many_peers_and_networks_are_split_and_read_back_as_one() -> None:
    many = frozenset(ipaddress.ip_network((n << 8, 24)) for n in range(900))
    peers = [PeerChange(KEY, endpoint=AddrPort.parse("[::1]:1"), allowed_ips=many)]
    peers += [PeerChange(NodePublic(bytes([1, n]) * 16)) for n in range(250)]
    requests = genetlink.encode_set("wg0", DeviceChange(peers=tuple(peers)))
    assert len(requests) > 1
    assert max(map(len, requests)) < 65_000
    device = genetlink.parse_device(requests)
    assert device.peers[KEY].allowed_ips == many
    assert device.peers[KEY].endpoint == AddrPort.parse("[::1]:1")
    assert len(device.peers) == 251


def test_only_the_first_piece_of_a_peer_may_add_or_empty_it() -> None:
    many = frozenset(ipaddress.ip_network((n << 8, 24)) for n in range(300))
    change = PeerChange(KEY, replace_allowed_ips=True, allowed_ips=many)
    [request] = genetlink.encode_set("wg0", DeviceChange(peers=(change,)))
    replace = struct.pack("=HHI", 8, 3, 2)
    update_only = struct.pack("=HHI", 8, 3, 4)
    assert (request.count(replace), request.count(update_only)) == (1, 1)


def test_a_peer_cut_in_two_keeps_its_counters() -> None:
    def row(*parts: bytes) -> bytes:
        peer = nested(0, [attribute(1, KEY.raw), *parts])
        return b"\0\1\0\0" + nested(8, [peer])

    def network(first_byte: int) -> bytes:
        inner = [
            attribute_u16(1, 2),
            attribute(2, bytes([first_byte, 0, 0, 0])),
            attribute(3, b"\x08"),
        ]
        return nested(9, [nested(0, inner)])

    device = genetlink.parse_device(
        [
            row(
                attribute(4, genetlink.encode_sockaddr(AddrPort.parse("192.0.2.1:7"))),
                attribute(6, struct.pack("=qq", 1_700_000_000, 500_000_000)),
                attribute(7, struct.pack("=Q", 5)),
                attribute(8, struct.pack("=Q", 6)),
                network(10),
            ),
            row(network(11)),
        ]
    )
    peer = device.peers[KEY]
    assert peer.allowed_ips == networks("10.0.0.0/8", "11.0.0.0/8")
    assert (peer.rx_bytes, peer.tx_bytes) == (5, 6)
    assert peer.endpoint == AddrPort.parse("192.0.2.1:7")
    assert peer.last_handshake == 1_700_000_000.5


def test_a_peer_without_handshake_has_no_time() -> None:
    peer = nested(0, [attribute(1, KEY.raw), attribute(6, bytes(16))])
    device = genetlink.parse_device([b"\0\1\0\0" + nested(8, [peer])])
    assert device.peers[KEY].last_handshake is None


def test_the_family_number_is_found() -> None:
    answer = (
        b"\1\2\0\0" + attribute(2, b"wireguard\0") + attribute_u16(1, 0x1C) + attribute_u32(3, 1)
    )
    assert genetlink.parse_family(answer) == 0x1C
