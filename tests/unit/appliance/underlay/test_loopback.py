import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.underlay.errors import UnknownPeerError
from appliance.underlay.loopback import LOOPBACK, Forger, Loopback
from tests.support.underlay import address, needs_root, node_key

HOME, OTHER = node_key("home").public(), node_key("other").public()
UDP, SEGMENT = 17, 103


class Device:
    """A UDP socket in the place of WireGuard's."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self.sock.settimeout(5.0)
        self.port: int = self.sock.getsockname()[1]

    def receive(self, count: int) -> list[tuple[bytes, int]]:
        found = [self.sock.recvfrom(65535) for _ in range(count)]
        return [(data, name[1]) for data, name in found]


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device()
    yield device
    device.sock.close()


class Taken:
    """What came from the device."""

    def __init__(self) -> None:
        self.packets: list[tuple[NodePublic, bytes]] = []
        self.calls = 0
        self.more = asyncio.Event()

    def take(self, key: NodePublic, packets: list[memoryview]) -> None:
        self.calls += 1
        self.packets += [(key, bytes(packet)) for packet in packets]
        self.more.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.packets) < count:
                self.more.clear()
                await self.more.wait()


def opened(device: Device, taken: Taken, ports: dict[NodePublic, int] | None = None) -> Loopback:
    loopback = Loopback(taken.take, ports or {})
    loopback.set_peers({HOME, OTHER}, device.port)
    loopback.start(asyncio.get_running_loop())
    return loopback


async def test_what_the_device_sends_to_a_proxy_comes_out_with_the_peers_name(
    device: Device,
) -> None:
    taken = Taken()
    loopback = opened(device, taken)
    for key, packet in ((HOME, b"for home"), (OTHER, b"for other")):
        device.sock.sendto(packet, ("127.0.0.1", loopback.address_of(key).port))
    await taken.wait_for(2)
    assert set(taken.packets) == {(HOME, b"for home"), (OTHER, b"for other")}
    loopback.close()


async def test_a_burst_of_the_device_comes_out_as_packets_in_one_call(device: Device) -> None:
    taken = Taken()
    loopback = opened(device, taken)
    packets = [bytes([i]) * 1312 for i in range(20)] + [b"the last"]
    name = ("127.0.0.1", loopback.address_of(HOME).port)
    device.sock.sendmsg(
        [b"".join(packets)], [(UDP, SEGMENT, (1312).to_bytes(2, "little"))], 0, name
    )
    await taken.wait_for(21)
    assert [packet for _, packet in taken.packets] == packets
    assert taken.calls == 1
    loopback.close()


async def test_many_single_packets_come_out_in_few_calls(device: Device) -> None:
    taken = Taken()
    loopback = opened(device, taken)
    for i in range(100):
        device.sock.sendto(i.to_bytes(2), ("127.0.0.1", loopback.address_of(HOME).port))
    await taken.wait_for(100)
    assert [packet for _, packet in taken.packets] == [i.to_bytes(2) for i in range(100)]
    assert taken.calls < 10
    loopback.close()


async def test_relayed_packets_reach_the_device_from_the_peers_proxy(device: Device) -> None:
    loopback = opened(device, Taken())
    packets = [bytes([i]) * 1312 for i in range(70)] + [b"short", b"single" * 300]
    loopback.inject(HOME, list(map(memoryview, packets)))
    received = device.receive(72)
    assert [data for data, _ in received] == packets
    assert {port for _, port in received} == {loopback.address_of(HOME).port}
    loopback.close()


async def test_without_segments_packets_go_one_by_one(device: Device) -> None:
    loopback = opened(device, Taken())
    loopback._proxies[HOME]._segments = False
    loopback.inject(HOME, [memoryview(b"one"), memoryview(b"two")])
    assert [data for data, _ in device.receive(2)] == [b"one", b"two"]
    loopback.close()


async def test_ports_are_the_same_after_a_restart(device: Device) -> None:
    first = opened(device, Taken())
    ports = first.ports
    first.close()
    second = opened(device, Taken(), ports)
    assert second.ports == ports
    assert second.address_of(HOME) == AddrPort(LOOPBACK, ports[HOME])
    second.close()


async def test_a_remembered_port_that_somebody_took_is_replaced(device: Device) -> None:
    loopback = opened(device, Taken(), {HOME: device.port})
    assert loopback.address_of(HOME).port != device.port
    loopback.close()


async def test_only_the_device_can_speak_to_a_proxy(device: Device) -> None:
    taken = Taken()
    loopback = opened(device, taken)
    stranger = Device()
    name = ("127.0.0.1", loopback.address_of(HOME).port)
    stranger.sock.sendto(b"stranger", name)
    device.sock.sendto(b"device", name)
    await taken.wait_for(1)
    assert taken.packets == [(HOME, b"device")]
    stranger.sock.close()
    loopback.close()


async def test_a_new_device_port_is_followed(device: Device) -> None:
    taken = Taken()
    loopback = opened(device, taken)
    ports, moved = loopback.ports, Device()
    loopback.set_peers({HOME, OTHER}, moved.port)
    assert loopback.ports == ports
    loopback.inject(HOME, [memoryview(b"hello")])
    assert moved.receive(1) == [(b"hello", ports[HOME])]
    moved.sock.sendto(b"back", ("127.0.0.1", ports[HOME]))
    await taken.wait_for(1)
    moved.sock.close()
    loopback.close()


async def test_peers_that_left_have_no_socket(device: Device) -> None:
    loopback = opened(device, Taken())
    loopback.set_peers({HOME}, device.port)
    with pytest.raises(UnknownPeerError):
        loopback.address_of(OTHER)
    loopback.inject(OTHER, [memoryview(b"late")])
    loopback.close()


async def test_a_device_that_is_away_costs_packets_not_the_proxy(device: Device) -> None:
    taken = Taken()
    away = Device()
    away.sock.close()
    loopback = Loopback(taken.take, {})
    loopback.set_peers({HOME}, away.port)
    loopback.start(asyncio.get_running_loop())
    for _ in range(3):
        loopback.inject(HOME, [memoryview(b"lost")])
        await asyncio.sleep(0)
    loopback.set_peers({HOME}, device.port)
    device.sock.sendto(b"here", ("127.0.0.1", loopback.address_of(HOME).port))
    await taken.wait_for(1)
    loopback.close()


@needs_root
def test_a_forged_source_is_what_the_device_sees(device: Device) -> None:
    forger = Forger()
    source = address("203.0.113.5:9999")
    forger.send(source, AddrPort(IPv4Address("127.0.0.1"), device.port), memoryview(b"hi" * 600))
    data, name = device.sock.recvfrom(65535)
    assert (data, name) == (b"hi" * 600, ("203.0.113.5", 9999))
    forger.close()


@needs_root
def test_a_forged_source_works_over_ipv6_with_a_right_checksum() -> None:
    device, forger = Device(socket.AF_INET6), Forger()
    source = AddrPort(IPv6Address("2001:db8::7"), 9999)
    for payload in (b"odd", b"even", bytes(1312)):
        forger.send(source, AddrPort(IPv6Address("::1"), device.port), memoryview(payload))
        data, name = device.sock.recvfrom(65535)
        assert (data, name[:2]) == (payload, ("2001:db8::7", 9999))
    forger.close()
    device.sock.close()


@needs_root
def test_two_families_do_not_mix() -> None:
    forger = Forger()
    to = AddrPort(IPv6Address("::1"), 9)
    forger.send(address("203.0.113.5:9"), to, memoryview(b"x"))
    forger.close()
