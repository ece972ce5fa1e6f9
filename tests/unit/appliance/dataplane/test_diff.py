from __future__ import annotations

import ipaddress
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.diff import plan_change, plan_reset
from appliance.protocol.addresses import AddrPort, IPNetwork
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.wireguard import (
    DeviceChange,
    PeerChange,
    WireGuardDevice,
    WireGuardPeer,
)

PRIVATE = NodePrivate.from_seed(bytes(32))
A, B, C = (NodePublic(bytes([n]) * 32) for n in (1, 2, 3))
HERE, THERE = AddrPort.parse("127.0.0.1:1"), AddrPort.parse("192.0.2.1:2")


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


def config(peers: dict[NodePublic, frozenset[IPNetwork]]) -> DataplaneConfig:
    return DataplaneConfig(
        private_key=PRIVATE,
        listen_port=41641,
        fwmark=0x80000,
        mtu=1280,
        addresses=(),
        peers={key: PeerConfig(key, allowed, HERE) for key, allowed in peers.items()},
    )


def device(peers: dict[NodePublic, frozenset[IPNetwork]]) -> WireGuardDevice:
    return WireGuardDevice(
        PRIVATE, 41641, 0x80000, {k: WireGuardPeer(THERE, a) for k, a in peers.items()}
    )


def test_an_empty_device_gets_everything() -> None:
    wanted = config({A: networks("10.0.0.0/8")})
    assert plan_change(wanted, WireGuardDevice()) == DeviceChange(
        private_key=PRIVATE,
        fwmark=0x80000,
        listen_port=41641,
        peers=(PeerChange(A, endpoint=HERE, allowed_ips=networks("10.0.0.0/8")),),
    )


def test_an_equal_device_gets_nothing_and_keeps_its_endpoints() -> None:
    peers = {A: networks("10.0.0.0/8"), B: networks()}
    assert plan_change(config(peers), device(peers)).is_empty


def test_an_equal_port_is_not_set_again_because_wireguard_go_would_bind_anew() -> None:
    change = plan_change(config({}), replace(device({}), fwmark=1))
    assert change == DeviceChange(fwmark=0x80000)


def test_a_peer_that_is_gone_is_removed_before_others_change() -> None:
    change = plan_change(config({B: networks("10.0.0.0/8")}), device({A: networks("10.0.0.0/8")}))
    assert change.peers[0] == PeerChange(A, remove=True)
    assert change.peers[1].key == B


def test_a_new_network_is_added_without_emptying_the_list() -> None:
    change = plan_change(
        config({A: networks("10.1.0.0/16", "10.2.0.0/16")}), device({A: networks("10.1.0.0/16")})
    )
    assert change.peers == (PeerChange(A, update_only=True, allowed_ips=networks("10.2.0.0/16")),)


def test_a_network_that_moves_is_only_added_to_its_new_owner() -> None:
    change = plan_change(
        config({A: networks(), B: networks("10.1.0.0/16")}),
        device({A: networks("10.1.0.0/16"), B: networks()}),
    )
    assert change.peers == (PeerChange(B, update_only=True, allowed_ips=networks("10.1.0.0/16")),)


def test_a_network_that_nobody_wants_is_removed_by_replacing_the_list() -> None:
    change = plan_change(
        config({A: networks("10.1.0.0/16")}),
        device({A: networks("10.1.0.0/16", "10.2.0.0/16")}),
    )
    assert change.peers == (
        PeerChange(
            A, update_only=True, replace_allowed_ips=True, allowed_ips=networks("10.1.0.0/16")
        ),
    )


def test_a_reset_removes_the_peer_and_adds_it_with_its_networks() -> None:
    peer = PeerConfig(A, networks("10.1.0.0/16"), THERE)
    assert plan_reset(peer).peers == (
        PeerChange(A, remove=True),
        PeerChange(A, endpoint=THERE, allowed_ips=networks("10.1.0.0/16")),
    )


def carry_out(change: DeviceChange, before: WireGuardDevice) -> WireGuardDevice:
    """What WireGuard does with a change: a network belongs to the peer that got it last."""
    peers = {key: (peer.endpoint, set(peer.allowed_ips)) for key, peer in before.peers.items()}
    for one in change.peers:
        if one.remove:
            peers.pop(one.key, None)
            continue
        if one.update_only and one.key not in peers:
            continue
        endpoint, allowed = peers.get(one.key, (None, set()))
        if one.replace_allowed_ips:
            allowed = set()
        for _, others in peers.values():
            others -= one.allowed_ips
        peers[one.key] = (one.endpoint or endpoint, allowed | one.allowed_ips)
    return WireGuardDevice(
        change.private_key or before.private_key,
        before.listen_port if change.listen_port is None else change.listen_port,
        before.fwmark if change.fwmark is None else change.fwmark,
        {key: WireGuardPeer(e, frozenset(allowed)) for key, (e, allowed) in peers.items()},
    )


@st.composite
def allotments(draw: st.DrawFn) -> dict[NodePublic, frozenset[IPNetwork]]:
    """Peers that share out eight networks."""
    keys = draw(st.lists(st.sampled_from([A, B, C]), unique=True))
    owner = draw(st.lists(st.sampled_from([*keys, None]), min_size=8, max_size=8))
    return {key: networks(*(f"10.{n}.0.0/16" for n in range(8) if owner[n] == key)) for key in keys}


@given(allotments(), allotments())
def test_the_planned_change_always_leads_to_the_config(
    before: dict[NodePublic, frozenset[IPNetwork]], after: dict[NodePublic, frozenset[IPNetwork]]
) -> None:
    wanted = config(after)
    result = carry_out(plan_change(wanted, device(before)), device(before))
    assert {key: peer.allowed_ips for key, peer in result.peers.items()} == after
    assert plan_change(wanted, result).is_empty
    assert all(result.peers[key].endpoint == THERE for key in before.keys() & after.keys())
