"""lab: a small internet out of network namespaces, for tests, the demo and the benchmarks.

Hosts, LANs, NAT routers of every kind, firewalls and blocks, a public internet between them,
packet capture, and programs that run inside. Needs root and Linux; touches nothing outside
namespaces named `lk-<lab>-...`, their /etc/netns folders and build/lab. `docs` are the tests.
"""

from tests.netns.lab.capture import Capture, Datagram, Kind, between, classify, count
from tests.netns.lab.errors import LabError, LabTimeoutError
from tests.netns.lab.host import UDP, Host, Router
from tests.netns.lab.lab import LABS, REPOSITORY, Lab, Segment
from tests.netns.lab.nat import (
    ADDRESS_SYMMETRIC,
    FULL_CONE,
    PORT_RESTRICTED,
    RESTRICTED_CONE,
    SYMMETRIC,
    Behaviour,
    Nat,
)
from tests.netns.lab.programs import Program, wait_until

__all__ = [
    "ADDRESS_SYMMETRIC",
    "FULL_CONE",
    "LABS",
    "PORT_RESTRICTED",
    "REPOSITORY",
    "RESTRICTED_CONE",
    "SYMMETRIC",
    "UDP",
    "Behaviour",
    "Capture",
    "Datagram",
    "Host",
    "Kind",
    "Lab",
    "LabError",
    "LabTimeoutError",
    "Nat",
    "Program",
    "Router",
    "Segment",
    "between",
    "classify",
    "count",
    "wait_until",
]
