from __future__ import annotations

import ipaddress

import pytest

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.driver import Dataplane
from appliance.dataplane.errors import DeviceGoneError
from appliance.dataplane.fake import FakeDataplane
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePrivate, NodePublic

A = NodePublic(bytes([1]) * 32)
HERE, THERE = AddrPort.parse("127.0.0.1:1"), AddrPort.parse("192.0.2.1:2")


def config(*peers: PeerConfig) -> DataplaneConfig:
    return DataplaneConfig(
        NodePrivate.from_seed(bytes(32)), 41641, 0x80000, 1280, (), {p.key: p for p in peers}
    )


def peer(*networks: str) -> PeerConfig:
    return PeerConfig(A, frozenset(ipaddress.ip_network(n) for n in networks), HERE)


async def test_it_keeps_the_endpoint_of_a_known_peer() -> None:
    fake = FakeDataplane()
    driver: Dataplane = fake
    await driver.open()
    await driver.apply(config(peer("10.0.0.0/8")))
    driver.set_endpoint(A, THERE)
    await driver.apply(config(peer("10.0.0.0/8", "11.0.0.0/8")))
    status = driver.observe()
    assert status.listen_port == 41641
    assert status.peers[A].endpoint == THERE
    assert len(status.peers[A].allowed_ips) == 2
    await driver.apply(config())
    assert driver.observe().peers == {}
    assert [change[0] for change in fake.changes] == ["add", "endpoint", "remove"]


async def test_it_ignores_unknown_peers_and_forgets_sessions_on_reset() -> None:
    driver = FakeDataplane()
    await driver.open()
    driver.set_endpoint(A, THERE)
    driver.reset_peer(A, THERE)
    assert driver.observe().peers == {}
    await driver.apply(config(peer("10.0.0.0/8")))
    driver.pretend(A, rx_bytes=5, last_handshake=7.0)
    assert driver.observe().peers[A].last_handshake == 7.0
    driver.reset_peer(A, THERE)
    status = driver.observe().peers[A]
    assert (status.rx_bytes, status.last_handshake, status.endpoint) == (0, None, THERE)


async def test_it_must_be_open_and_keeps_its_peers_unless_removed() -> None:
    driver = FakeDataplane()
    with pytest.raises(DeviceGoneError):
        driver.observe()
    await driver.open()
    await driver.apply(config(peer()))
    await driver.close(remove=False)
    await driver.open()
    assert driver.observe().peers.keys() == {A}
    await driver.clean_up()
    await driver.open()
    assert driver.observe().peers == {}
