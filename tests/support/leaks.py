"""A client that must leak nothing: its talk, its cable's record, and what is allowed on it."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.netns.lab import Capture, Host, Program, wait_until
from tests.netns.lab.frames import Frame, Sort, read_frames
from tests.netns.lab.web import SCRIPTS
from tests.netns.topologies import Journey
from tests.support.dhcp import Lease

UPLINK: Final = "eth0"
_ALWAYS: Final = frozenset(
    {
        *(Sort.ARP, Sort.NEIGHBOUR, Sort.DHCP),
        *(Sort.WIREGUARD, Sort.DISCO, Sort.STUN, Sort.TUNNEL_ERROR),
    }
)
_CONNECTED: Final = re.compile(r"^connected (\d+) (\d+)$", re.MULTILINE)


@dataclass
class Watch:
    """The laptop of a journey, talking all the time, and what its cable carries."""

    places: Journey
    chatter: Program
    capture: Capture
    hardware: str

    def sent(self) -> list[Frame]:
        """Every frame that the laptop has sent so far."""
        return [f for f in read_frames(self.capture.file) if f.hardware == self.hardware]

    def leaks(self, since: float = 0.0) -> list[str]:
        """The leaks since a moment: how many of each kind, and when within it."""
        found: dict[str, list[float]] = {}
        for frame in self.sent():
            if frame.time_s >= since and not self._is_allowed(frame):
                kind = f"{frame.sort.name} {frame.source} > {frame.destination}"
                found.setdefault(f"{kind}.{frame.destination_port}", []).append(frame.time_s)
        return [
            f"{len(times)} x {what}, {min(times) - since:.2f} to {max(times) - since:.2f} s after"
            for what, times in found.items()
        ]

    def sorts(self, since: float = 0.0) -> Counter[Sort]:
        """What has been sent since a moment, by sort."""
        return Counter(frame.sort for frame in self.sent() if frame.time_s >= since)

    def connected(self) -> tuple[int, int]:
        """How many connections the chatter has made so far, by IPv4 and IPv6."""
        found = _CONNECTED.findall(self.chatter.text())
        return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)

    def reported(self) -> tuple[int, int]:
        """Wait for the next report: connections that came about until now count no more."""
        reports = len(_CONNECTED.findall(self.chatter.text()))
        wait_until(
            lambda: len(_CONNECTED.findall(self.chatter.text())) > reports, 10, "the laptop talks"
        )
        return self.connected()

    def wait_for_talk(self, timeout_s: float, *, both: bool = True) -> None:
        """Wait until the internet is reached again, by both families or one."""
        before = self.reported()

        def reached() -> bool:
            now = self.connected()
            return now[0] > before[0] and (now[1] > before[1] or not both)

        wait_until(reached, timeout_s, "the laptop reaches the internet")

    def _is_allowed(self, frame: Frame) -> bool:
        if frame.sort in _ALWAYS:
            return True
        relay = {str(address) for address in self.places.vps.plan.addresses()}
        return (
            frame.sort is Sort.TCP and frame.destination in relay and frame.destination_port == 443
        )


@contextmanager
def watching(places: Journey) -> Iterator[Watch]:
    """Let the laptop talk, and record its cable outside of it."""
    wire = places.lab.find("hostel-lan").wire()
    capture = wire.capture("laptop", "")
    talker = start_chatter(places)
    hardware = places.laptop.run(["cat", f"/sys/class/net/{UPLINK}/address"]).strip()
    watch = Watch(places, talker, capture, hardware)
    try:
        yield watch
    finally:
        talker.stop()
        capture.end()


def start_chatter(places: Journey) -> Program:
    """The laptop's programs."""
    web, resolver = places.web, places.resolver
    targets = [web.ip, web.ip6, resolver.ip, resolver.ip6, places.hostel.inside_ip]
    script = str(SCRIPTS / "chatter.py")
    return places.laptop.start("chatter", [sys.executable, script, UPLINK, *targets])


class Cable:
    """The laptop's uplink as a network manager and a person with a plug treat it.

    IPv4 comes by DHCP, whose client goes on whatever happens to the agent.
    """

    def __init__(self, laptop: Host) -> None:
        self.laptop = laptop
        self.lease = Lease(laptop, UPLINK)
        self._plan = laptop.plan

    def unplug(self) -> None:
        """The interface goes down: its routes and IPv6 addresses go with it."""
        self.laptop.run(["ip", "link", "set", UPLINK, "down"])

    def forget(self) -> None:
        """As before DHCP: no client, no addresses at all."""
        self.lease.end()
        self.laptop.run(["ip", "address", "flush", "dev", UPLINK])

    def plug(self) -> None:
        """The interface comes up, asks for a lease, and has IPv6 as from a router."""
        commands = [
            f"link set {UPLINK} up",
            *(
                f"address replace {address} dev {UPLINK} nodad"
                for address in self._plan.links[0].addresses
                if address.version == 6
            ),
            *(
                f"route replace {route.destination} via {route.gateway}"
                for route in self._plan.routes
                if route.gateway.version == 6
            ),
        ]
        for command in commands:
            self.laptop.run(["ip", *command.split()])
        self.lease.start()


def now() -> float:
    """The wall clock, which stamps the capture."""
    return time.time_ns() / 1e9
