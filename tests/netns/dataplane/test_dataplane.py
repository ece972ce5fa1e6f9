"""Both WireGuard drivers against the real thing: two boxes, one cable, ``wg`` and ``ping``.

left 192.0.2.1 ──────────── 192.0.2.2 right
     100.64.0.1 ══ tunnel ══ 100.64.0.2
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.dataplane.config import PeerConfig
from appliance.dataplane.errors import (
    DeviceGoneError,
    InterfaceTakenError,
    NotPermittedError,
    PortInUseError,
)
from appliance.dataplane.tunnel import TunnelDataplane
from appliance.protocol.addresses import AddrPort, IPNetwork
from appliance.protocol.keys import NodePrivate
from tests.netns.dataplane.conftest import LEFT, PORT, RIGHT, Side
from tests.support.boxes import REPOSITORY

pytestmark = pytest.mark.netns


def network(text: str) -> IPNetwork:
    return ipaddress.ip_network(text)


def stranger(*networks: str, port: int = 9) -> PeerConfig:
    """A peer that is not there."""
    key = NodePrivate.from_seed(os.urandom(32)).public()
    endpoint = AddrPort(ipaddress.ip_address("192.0.2.99"), port)
    return PeerConfig(key, frozenset(network(text) for text in networks), endpoint)


async def observe_for_3_s(driver: TunnelDataplane) -> None:
    for _ in range(300):
        driver.observe()
        await asyncio.sleep(0.01)


def bring_up(side: Side, other: Side) -> None:
    async def work() -> None:
        driver = side.driver()
        await driver.open()
        await driver.apply(side.config(other.as_peer()))
        await driver.close(remove=False)

    side.box.do(work)
    side.route_to(other)


def test_two_devices_carry_both_families_of_addresses(sides: tuple[Side, Side]) -> None:
    left, right = sides
    bring_up(left, right)
    bring_up(right, left)
    assert left.box.pings("100.64.0.2")
    assert left.box.pings("fd7a:115c:a1e0::2")
    assert right.box.pings("fd7a:115c:a1e0::1")


def test_the_device_is_what_the_config_says(sides: tuple[Side, Side]) -> None:
    left, right = sides
    bring_up(left, right)
    shown = left.box.run(f"wg show {left.interface} dump").split("\n")
    private, _, port, mark = shown[0].split("\t")
    assert (port, mark) == (str(PORT), "0x80000")
    assert private != "(none)"
    peer = shown[1].split("\t")
    assert peer[2] == f"{RIGHT}:{PORT}"
    assert set(peer[3].split(",")) == {"100.64.0.2/32", "fd7a:115c:a1e0::2/128"}
    link = left.box.run(f"ip -d addr show dev {left.interface}")
    assert "mtu 1280" in link
    assert "alias latchkey" in link
    assert "inet 100.64.0.1/32" in link
    assert "inet6 fd7a:115c:a1e0::1/128" in link
    assert "fe80" not in link


def test_observing_tells_traffic_handshake_and_endpoint(sides: tuple[Side, Side]) -> None:
    left, right = sides
    bring_up(right, left)

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config(right.as_peer()))
        left.route_to(right)
        before = driver.observe().peers[right.key.public()]
        assert before.last_handshake is None
        assert left.box.pings("100.64.0.2")
        after = driver.observe().peers[right.key.public()]
        assert after.rx_bytes > 0
        assert after.tx_bytes > 0
        assert after.last_handshake is not None
        assert abs(after.last_handshake - time.clock_gettime(time.CLOCK_REALTIME)) < 5
        assert after.endpoint == right.as_peer().endpoint
        assert after.allowed_ips == right.networks
        await driver.close(remove=True)

    left.box.do(work)


def test_applying_the_same_config_again_keeps_the_session_and_the_endpoint(
    sides: tuple[Side, Side],
) -> None:
    left, right = sides
    bring_up(left, right)
    bring_up(right, left)
    assert left.box.pings("100.64.0.2")

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        peer = right.key.public()
        before = driver.observe().peers[peer]
        elsewhere = replace(right.as_peer(), endpoint=AddrPort(network("192.0.2.9")[0], 1))
        await driver.apply(left.config(elsewhere))
        after = driver.observe().peers[peer]
        assert after.last_handshake == before.last_handshake
        assert after.endpoint == before.endpoint
        await driver.close(remove=False)

    left.box.do(work)
    assert left.box.pings("100.64.0.2")


def test_an_endpoint_moves_and_an_unknown_peer_is_not_created(sides: tuple[Side, Side]) -> None:
    left, right = sides

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config(right.as_peer()))
        peer = right.key.public()
        for text in ("127.0.0.1:5000", "[::1]:6000", "[2001:db8::7]:7000"):
            driver.set_endpoint(peer, AddrPort.parse(text))
            status = driver.observe()
            assert str(status.peers[peer].endpoint) == text
            assert status.peers[peer].allowed_ips == right.networks
        driver.set_endpoint(stranger().key, AddrPort.parse("127.0.0.1:5000"))
        assert driver.observe().peers.keys() == {peer}
        await driver.close(remove=True)

    left.box.do(work)


def test_resetting_a_peer_forgets_its_session_and_keeps_its_networks(
    sides: tuple[Side, Side],
) -> None:
    left, right = sides
    bring_up(left, right)
    bring_up(right, left)
    assert left.box.pings("100.64.0.2")

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        # Handshakes carry a time in steps of 17 ms; a second one in the same step is a replay.
        await asyncio.sleep(0.04)
        driver.reset_peer(right.key.public(), right.as_peer().endpoint)
        status = driver.observe().peers[right.key.public()]
        assert (status.last_handshake, status.rx_bytes) == (None, 0)
        assert status.allowed_ips == right.networks
        await driver.close(remove=False)

    left.box.do(work)
    assert left.box.pings("100.64.0.2")


def test_peers_and_networks_come_go_and_move(sides: tuple[Side, Side]) -> None:
    left, _ = sides
    first = stranger("100.64.1.1/32", "10.1.0.0/16", "10.2.0.0/16")
    second = stranger("100.64.1.2/32")

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config(first, second))

        moved = [
            replace(first, allowed_ips=first.allowed_ips - {network("10.1.0.0/16")}),
            replace(second, allowed_ips=second.allowed_ips | {network("10.1.0.0/16")}),
        ]
        await driver.apply(left.config(*moved))
        status = driver.observe().peers
        assert {key: peer.allowed_ips for key, peer in status.items()} == {
            peer.key: peer.allowed_ips for peer in moved
        }

        fewer = replace(first, allowed_ips=frozenset({network("100.64.1.1/32")}))
        await driver.apply(left.config(fewer))
        status = driver.observe().peers
        assert {key: peer.allowed_ips for key, peer in status.items()} == {
            first.key: fewer.allowed_ips
        }
        await driver.close(remove=True)

    left.box.do(work)


def test_many_peers_and_a_peer_with_many_networks_are_read_back_whole(
    sides: tuple[Side, Side],
) -> None:
    left, _ = sides
    peers = [stranger(f"100.65.{n // 250}.{n % 250}/32", f"fd7a::{n:x}/128") for n in range(400)]
    peers.append(stranger(*(f"10.{n // 250}.{n % 250}.0/24" for n in range(900))))
    config = left.config(*peers)

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(config)
        status = driver.observe().peers
        assert {key: peer.allowed_ips for key, peer in status.items()} == {
            key: peer.allowed_ips for key, peer in config.peers.items()
        }
        assert {peer.endpoint for peer in status.values()} == {peers[0].endpoint}
        await driver.close(remove=True)

    left.box.do(work)


def test_addresses_that_are_no_longer_wanted_disappear(sides: tuple[Side, Side]) -> None:
    left, _ = sides

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config())
        other = (ipaddress.ip_interface("100.64.0.77/32"),)
        await driver.apply(replace(left.config(), addresses=other))
        await driver.close(remove=False)

    left.box.do(work)
    shown = left.box.run(f"ip -o addr show dev {left.interface}")
    assert "100.64.0.77/32" in shown
    assert "100.64.0.1/32" not in shown
    assert "fd7a" not in shown


AGENT = """
import asyncio, sys
sys.path.insert(0, {repository!r})
from tests.netns.dataplane.conftest import Side, make_driver
from appliance.protocol.keys import NodePrivate

async def agent():
    left = Side({kind!r}, None, {interface!r}, {outside!r}, NodePrivate(bytes.fromhex({key!r})))
    right = Side({kind!r}, None, "", {other!r}, NodePrivate(bytes.fromhex({other_key!r})), 2)
    driver = make_driver({kind!r}, {interface!r})
    await driver.open()
    await driver.apply(left.config(right.as_peer()))
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(agent())
"""


def test_the_tunnel_survives_kill_9_and_the_next_agent_takes_it_over(
    sides: tuple[Side, Side],
) -> None:
    left, right = sides
    bring_up(right, left)
    script = AGENT.format(
        repository=str(REPOSITORY),
        kind=left.kind,
        interface=left.interface,
        outside=LEFT,
        other=RIGHT,
        key=left.key.raw.hex(),
        other_key=right.key.raw.hex(),
    )
    agent = left.box.start([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "up\n"
    left.route_to(right)
    assert left.box.pings("100.64.0.2")
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    assert left.box.pings("100.64.0.2")

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        before = driver.observe().peers[right.key.public()]
        assert before.last_handshake is not None
        await driver.apply(left.config(right.as_peer()))
        assert driver.observe().peers[right.key.public()].last_handshake == before.last_handshake
        await driver.close(remove=False)

    left.box.do(work)
    assert left.box.pings("100.64.0.2")


def test_cleaning_up_removes_the_device_of_an_earlier_run(sides: tuple[Side, Side]) -> None:
    left, right = sides
    bring_up(left, right)

    async def work() -> None:
        await left.driver().clean_up()
        await left.driver().clean_up()

    left.box.do(work)
    assert left.box.attempt(f"ip link show {left.interface}").returncode != 0
    assert left.box.run("ip -o link").count("\n") == 2  # lo and the cable
    assert not Path(f"/run/wireguard/{left.interface}.sock").exists()


def test_a_busy_port_is_named_and_the_tunnel_can_take_another(sides: tuple[Side, Side]) -> None:
    left, right = sides

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", PORT))
            with pytest.raises(PortInUseError, match=f"UDP port {PORT} is in use"):
                await driver.apply(left.config(right.as_peer()))
            await driver.apply(left.config(right.as_peer(), port=PORT + 1))
        assert driver.observe().listen_port == PORT + 1
        await driver.apply(left.config(right.as_peer()))
        assert driver.observe().listen_port == PORT
        await driver.close(remove=True)

    left.box.do(work)


@pytest.mark.parametrize("what", ["type veth", "type bridge"])
def test_somebody_elses_interface_is_left_alone(sides: tuple[Side, Side], what: str) -> None:
    left, _ = sides
    left.box.run(f"ip link add {left.interface} {what}")

    async def work() -> None:
        driver = left.driver()
        with pytest.raises(InterfaceTakenError, match="choose another interface name"):
            await driver.open()
        await driver.clean_up()

    left.box.do(work)
    assert left.interface in left.box.run("ip link")


def test_our_interface_of_another_driver_is_replaced(sides: tuple[Side, Side]) -> None:
    left, _ = sides
    left.box.run(f"ip link add {left.interface} type bridge")
    left.box.run(f"ip link set {left.interface} alias latchkey")

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config())
        assert driver.observe().listen_port == PORT
        await driver.close(remove=True)

    left.box.do(work)


def test_a_device_that_disappears_is_reported_and_can_be_opened_again(
    sides: tuple[Side, Side],
) -> None:
    left, right = sides

    async def work() -> None:
        driver = left.driver()
        await driver.open()
        await driver.apply(left.config(right.as_peer()))
        left.box.run(f"ip link del {left.interface}")
        with pytest.raises(DeviceGoneError):
            await observe_for_3_s(driver)
        with pytest.raises(DeviceGoneError):
            await driver.apply(left.config(right.as_peer()))
        await driver.close(remove=False)
        await driver.open()
        await driver.apply(left.config(right.as_peer()))
        assert driver.observe().peers.keys() == {right.key.public()}
        await driver.close(remove=True)

    left.box.do(work)


def test_without_the_capability_the_error_says_what_to_do(sides: tuple[Side, Side]) -> None:
    left, _ = sides
    script = (
        f"import asyncio, sys; sys.path.insert(0, {str(REPOSITORY)!r})\n"
        "from tests.netns.dataplane.conftest import make_driver\n"
        f"asyncio.run(make_driver({left.kind!r}, {left.interface!r}).open())"
    )
    process = left.box.start(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", script],
        stderr=subprocess.PIPE,
    )
    _, complaint = process.communicate(timeout=20)
    assert NotPermittedError.__name__ in complaint
    assert "run it as root or give it CAP_NET_ADMIN" in complaint
