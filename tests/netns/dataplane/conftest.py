"""Two boxes and a WireGuard driver in each, for every driver that this machine can run."""

from __future__ import annotations

import ipaddress
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.discover import SEARCH_PATH, find_wireguard_go
from appliance.dataplane.errors import NoWireGuardError
from appliance.dataplane.kernel import KernelDataplane, kernel_has_wireguard
from appliance.dataplane.tunnel import TunnelDataplane
from appliance.dataplane.uapi import UapiDataplane
from appliance.protocol.addresses import AddrPort, IPNetwork
from appliance.protocol.keys import NodePrivate
from tests.support.boxes import Box, fresh_boxes, join, why_no_boxes
from tests.support.peers import PEERS

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
PORT = 41641
_numbers = itertools.count(1)


def make_driver(kind: str, interface: str) -> TunnelDataplane:
    """The driver of this kind; skips where the machine has none."""
    if kind == "kernel":
        if not kernel_has_wireguard():
            pytest.skip("this kernel has no WireGuard: the kernel driver was not tested")
        return KernelDataplane(interface)
    try:
        return UapiDataplane(interface, find_wireguard_go(None, [PEERS, *SEARCH_PATH]))
    except NoWireGuardError:
        pytest.skip("no wireguard-go here: its driver was not tested (`make peers` fetches it)")


@dataclass
class Side:
    """One end: its box, its key and its addresses inside the tunnel."""

    kind: str
    box: Box
    interface: str
    outside: str
    key: NodePrivate = field(default_factory=lambda: NodePrivate.from_seed(os.urandom(32)))
    number: int = 1

    @property
    def addresses(self) -> tuple[str, str]:
        return f"100.64.0.{self.number}", f"fd7a:115c:a1e0::{self.number}"

    @property
    def networks(self) -> frozenset[IPNetwork]:
        return frozenset(ipaddress.ip_network(address) for address in self.addresses)

    def as_peer(self) -> PeerConfig:
        """What the other side must know of this one."""
        endpoint = AddrPort(ipaddress.ip_address(self.outside), PORT)
        return PeerConfig(self.key.public(), self.networks, endpoint)

    def config(self, *peers: PeerConfig, port: int = PORT) -> DataplaneConfig:
        """This side's whole config."""
        return DataplaneConfig(
            private_key=self.key,
            listen_port=port,
            fwmark=0x80000,
            mtu=1280,
            addresses=tuple(
                ipaddress.ip_interface(f"{a}/{n}")
                for a, n in zip(self.addresses, (32, 128), strict=True)
            ),
            peers={peer.key: peer for peer in peers},
        )

    def driver(self) -> TunnelDataplane:
        """A driver as a fresh agent makes it; to be called inside the box."""
        return make_driver(self.kind, self.interface)

    def route_to(self, other: Side) -> None:
        """Lead the other's addresses into the tunnel."""
        for address in other.addresses:
            self.box.run(f"ip route replace {address} dev {self.interface}")


@pytest.fixture(params=["kernel", "wireguard-go"])
def kind(request: pytest.FixtureRequest) -> str:
    """The driver under test."""
    reason = why_no_boxes("wg")
    if reason:
        pytest.skip(reason)
    make_driver(request.param, "lkm")
    return str(request.param)


@pytest.fixture
def sides(kind: str) -> Iterator[tuple[Side, Side]]:
    """Two sides joined by a cable: left 192.0.2.1 ── 192.0.2.2 right."""
    with fresh_boxes("left", "right") as (left_box, right_box):
        join(left_box, "out", right_box, "out")
        left_box.run(f"ip addr add {LEFT}/24 dev out")
        right_box.run(f"ip addr add {RIGHT}/24 dev out")
        run = f"{os.getpid() % 100000}{next(_numbers)}"
        left = Side(kind, left_box, f"lkm{run}l", LEFT)
        right = Side(kind, right_box, f"lkm{run}r", RIGHT, number=2)
        yield left, right
        for side in (left, right):
            side.box.do(lambda side=side: side.driver().clean_up())
            Path(f"/run/wireguard/{side.interface}.sock").unlink(missing_ok=True)
