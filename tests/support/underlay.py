"""Values that the underlay's tests share."""

import datetime
import itertools
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPrivate, NodePrivate
from appliance.protocol.tailcfg import DerpMap, DerpNode, DerpRegion
from appliance.relay.certificates import make_tls_context, prepare_certificate
from appliance.underlay.config import Direct, PeerUnderlay, UnderlayConfig
from tests.support.derp import RELAY
from tests.support.relay import RunningRelay, running_relay

PORT = 41641

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")


def address(text: str) -> AddrPort:
    """Read ``1.2.3.4:5``, or take the WireGuard port when none is given."""
    try:
        return AddrPort(ip_address(text), PORT)
    except ValueError:
        return AddrPort.parse(text)


def direct(text: str, latency_ms: float) -> Direct:
    return Direct(address(text), latency_ms / 1000)


def counting_bytes() -> Callable[[int], bytes]:
    """Random bytes that are 1, 2, 3 ... of the wanted length."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size)


def node_key(name: str) -> NodePrivate:
    return NodePrivate.from_seed(name.encode().ljust(32, b"n"))


def disco_key(name: str) -> DiscoPrivate:
    return DiscoPrivate.from_seed(name.encode().ljust(32, b"d"))


def peer(name: str, *endpoints: str, home: int = 1) -> PeerUnderlay:
    return PeerUnderlay(
        node_key(name).public(),
        disco_key(name).public(),
        tuple(map(address, endpoints)),
        home,
        name,
    )


def region(number: int, *hosts: str, **options: object) -> DerpRegion:
    nodes = tuple(
        DerpNode(name=f"{number}{i}", region_id=number, host_name=host, ipv4=host)
        for i, host in enumerate(hosts or (f"192.0.2.{number}",))
    )
    return DerpRegion(region_id=number, region_code=f"r{number}", nodes=nodes, **options)  # type: ignore[arg-type]


def derp_map(*regions: DerpRegion, **options: object) -> DerpMap:
    return DerpMap(regions={r.region_id: r for r in regions}, **options)  # type: ignore[arg-type]


def config(name: str, *peers: PeerUnderlay, **changes: object) -> UnderlayConfig:
    values: dict[str, object] = {
        "node_key": node_key(name),
        "disco_key": disco_key(name),
        "listen_port": PORT,
        "fwmark": 0,
        "derp_map": derp_map(region(1)),
        "peers": {p.key: p for p in peers},
    }
    return UnderlayConfig(**(values | changes))  # type: ignore[arg-type]


@dataclass
class TlsRelay:
    """A relay on this host, and how a relay map names it."""

    running: RunningRelay
    node: DerpNode

    def map(self, number: int = 1) -> DerpMap:
        return derp_map(DerpRegion(region_id=number, region_code=f"r{number}", nodes=(self.node,)))


@asynccontextmanager
async def tls_relay(directory: Path) -> AsyncIterator[TlsRelay]:
    """Run a relay with a pinned certificate of its own for the length of the block."""
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = prepare_certificate(None, "127.0.0.1", RELAY.public(), directory, now)
    async with running_relay(tls=make_tls_context(certificate)) as running:
        node = DerpNode(
            name="1a",
            region_id=1,
            host_name="127.0.0.1",
            ipv4="127.0.0.1",
            cert_name=certificate.pin or "",
            derp_port=running.port,
            stun_port=-1,
        )
        yield TlsRelay(running, node)


def open_socket(family: socket.AddressFamily) -> socket.socket:
    """Make a TCP socket without any mark."""
    return socket.socket(family, socket.SOCK_STREAM)
