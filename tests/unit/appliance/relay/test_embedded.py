"""The relay inside another program: its own TLS port, STUN, and the front's connections."""

import asyncio
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.relay.admission import admit_anyone
from appliance.relay.embedded import EmbeddedRelay
from appliance.relay.errors import PortError
from appliance.relay.listener import Listener
from appliance.relay.sockets import bind_udp, listen_tcp
from tests.support.derp import node_key, relay_node
from tests.support.relay import LOOPBACK

ANY_PORT = AddrPort(LOOPBACK, 0)
A, B = node_key(1), node_key(2)


async def test_nodes_meet_over_the_front_and_over_the_port_of_its_own(tmp_path: Path) -> None:
    relay = EmbeddedRelay(tmp_path / "relay", admit_anyone)
    with listen_tcp(ANY_PORT) as probe:
        own = AddrPort(LOOPBACK, probe.getsockname()[1])
    pin = relay.listen(own, "127.0.0.1")
    assert pin.startswith("sha256-raw:")
    front = Listener(listen_tcp(ANY_PORT), relay.site.handle, None)
    trust = ssl.create_default_context(cafile=str(tmp_path / "relay" / "self-signed.pem"))
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(part.run(), name="part") for part in (relay, front)]
        async with (
            relay_node(A, front.address.port) as a,
            relay_node(B, own.port, tls=trust) as b,
        ):
            a.send(B.public(), b"hello")
            assert await b.receive(1) == [(A.public().raw, b"hello")]
        for task in running:
            task.cancel()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    relay = EmbeddedRelay(tmp_path / "relay", admit_anyone)
    with bind_udp(ANY_PORT) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"UDP port {port} is in use"):
            relay.answer_stun(AddrPort(ip_address("127.0.0.1"), port))
    relay.close()
