import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.protocol.derp.client import Event, Packets
from appliance.protocol.tailcfg import DerpNode
from appliance.underlay.errors import RelayError
from appliance.underlay.relaylink import (
    MAX_UNSENT,
    RelayLink,
    open_link,
    resolve,
    tls_context,
    verified_name,
)
from tests.support.derp import NONCE
from tests.support.underlay import TlsRelay, node_key, open_socket, tls_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[TlsRelay]:
    async with tls_relay(tmp_path) as running:
        yield running


class Inbox:
    """What a link received."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.more = asyncio.Event()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Packets):
                self.packets += [bytes(packet) for _, packet in event.packets]
        self.more.set()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.packets) < count:
                self.more.clear()
                await self.more.wait()


async def connect(relay: TlsRelay, name: str, inbox: Inbox | None = None) -> RelayLink:
    return await open_link(
        relay.node,
        node_key(name),
        open_socket,
        (inbox or Inbox()).take,
        nonce=NONCE,
        preferred=True,
    )


def views(*packets: bytes) -> list[memoryview]:
    return list(map(memoryview, packets))


async def test_two_links_exchange_packets_in_order(relay: TlsRelay) -> None:
    inbox = Inbox()
    one, other = await connect(relay, "one"), await connect(relay, "other", inbox)
    packets = [bytes([i]) * 1312 for i in range(30)]
    one.send_packets(node_key("other").public(), views(*packets))
    await inbox.wait_for(30)
    assert inbox.packets == packets
    one.close("done")
    other.close("done")


async def test_a_wrong_pin_is_refused(relay: TlsRelay) -> None:
    relay.node = msgspec.structs.replace(relay.node, cert_name="sha256-raw:" + 64 * "0")
    with pytest.raises(RelayError, match="another certificate"):
        await connect(relay, "one")


async def test_a_certificate_that_nobody_signed_needs_a_pin(relay: TlsRelay) -> None:
    relay.node = msgspec.structs.replace(relay.node, cert_name="")
    with pytest.raises(RelayError, match=r"certificate|CERTIFICATE"):
        await connect(relay, "one")


async def test_insecure_for_tests_means_what_it_says(relay: TlsRelay) -> None:
    relay.node = msgspec.structs.replace(relay.node, cert_name="", insecure_for_tests=True)
    (await connect(relay, "one")).close("done")


async def test_nobody_there_is_told_in_a_sentence() -> None:
    node = DerpNode(host_name="127.0.0.1", ipv4="127.0.0.1", derp_port=1)
    with pytest.raises(RelayError, match=r"Relay 127\.0\.0\.1 cannot be reached: .*\.$"):
        await open_link(
            node, node_key("x"), open_socket, lambda _: None, nonce=NONCE, preferred=False
        )


async def test_a_link_tells_when_the_relay_goes_away(tmp_path: Path) -> None:
    async with tls_relay(tmp_path) as relay:
        link = await connect(relay, "one")
    async with asyncio.timeout(5):
        await link.closed
    assert not link.is_open
    link.send_packets(node_key("other").public(), views(b"late"))
    assert link.dropped == 1


class FullTransport(asyncio.Transport):
    """A transport that has not sent what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unsent += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


async def test_what_finds_no_room_is_dropped_and_counted(relay: TlsRelay) -> None:
    link = await connect(relay, "one")
    real, link._transport = link._transport, (full := FullTransport())
    batch = views(*[bytes(1312)] * 48)
    for _ in range(100):
        link.send_packets(node_key("other").public(), batch)
    assert full.unsent < MAX_UNSENT + 48 * 37
    assert link.dropped > 4000
    before = full.unsent
    link.send_disco(node_key("other").public(), bytes(124))
    assert full.unsent > before
    link._transport = real
    link.close("done")


async def test_the_relay_map_says_where_a_relay_is() -> None:
    both = DerpNode(host_name="relay.invalid", ipv4="192.0.2.1", ipv6="2001:db8::1")
    assert list(map(str, await resolve(both))) == ["192.0.2.1", "2001:db8::1"]
    literal = DerpNode(host_name="192.0.2.2")
    assert list(map(str, await resolve(literal))) == ["192.0.2.2"]
    one_family = DerpNode(host_name="localhost", ipv6="none")
    assert list(map(str, await resolve(one_family))) == ["127.0.0.1"]


def test_the_name_to_verify_is_the_one_that_the_map_gives() -> None:
    assert verified_name(DerpNode(host_name="a.example")) == "a.example"
    assert verified_name(DerpNode(host_name="a.example", cert_name="b.example")) == "b.example"
    pinned = DerpNode(host_name="a.example", cert_name="sha256-raw:00")
    assert verified_name(pinned) == "a.example"


def test_trust_is_full_unless_the_map_says_otherwise() -> None:
    assert tls_context(DerpNode(host_name="a.example")).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(DerpNode(host_name="a.example")).check_hostname


@pytest.mark.parametrize(
    "node",
    [
        DerpNode(host_name="", ipv4="127.0.0.1", derp_port=1),
        DerpNode(host_name=".bad", ipv4="127.0.0.1"),
        DerpNode(host_name="x" * 300),
        DerpNode(host_name="127.0.0.1", derp_port=99_999),
        DerpNode(host_name="127.0.0.1", derp_port=-5),
        DerpNode(host_name="nobody.invalid", ipv4="none", ipv6="none"),
    ],
)
async def test_nonsense_in_the_relay_map_is_one_relays_problem(node: DerpNode) -> None:
    with pytest.raises(RelayError):
        await open_link(
            node, node_key("x"), open_socket, lambda _: None, nonce=NONCE, preferred=False
        )
