"""What the lab tests of the gateway share: probes, and a mesh that grows node by node.

A probe tells who the other side took it for: a test of NAT needs that, and a test of "blocked"
needs a probe that is known to work.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from appliance.localapi.client import LocalClient
from appliance.localapi.types import Status
from tests.netns.lab import Host, Lab, LabError, LabTimeoutError, wait_until
from tests.netns.lab.namespaces import inside
from tests.netns.lab.web import client_seen
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import AgentNode, Join
from tests.support.pulse import Pulse
from tests.support.wireguard import why_no_wireguard

TUNNEL: Final = "latchkey0"
SOON_S: Final = 15.0  # for what takes a second or two, on a busy machine too
QUICK_S: Final = 0.4  # an answer that is given takes some milliseconds


@contextmanager
def gateway_lab() -> Iterator[Lab]:
    """A fresh lab where agents can run, or a named skip."""
    reason = why_no_lab() or why_no_wireguard()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        yield lab


@dataclass
class Mesh:
    """A coordinator and the agents that joined it, by the names of their hosts."""

    coordinator: Coordinator
    nodes: dict[str, AgentNode] = field(default_factory=dict)
    keys: dict[str, Join] = field(default_factory=dict)

    def __getitem__(self, name: str) -> AgentNode:
        return self.nodes[name]

    def join(self, host: Host, *flags: str, user: str = "family") -> AgentNode:
        """An agent on this host, joined with these flags."""
        if user not in self.keys:
            self.coordinator.new_user(user)
            self.keys[user] = self.coordinator.new_key(user, "--reusable")
        node = AgentNode(host, self.keys[user])
        node.up(*flags)
        self.nodes[host.name] = node
        return node

    def status(self, name: str) -> Status:
        """What a node says of itself."""
        return LocalClient(self.nodes[name].socket).status()

    def addresses(self, name: str) -> tuple[str, str]:
        """A node's addresses in the mesh: IPv4, IPv6."""
        v4, v6 = sorted(self.status(name).tailscale_ips, key=lambda ip: ":" in ip)
        return v4, v6


def start_mesh(host: Host, policy: dict[str, Any] | None = None) -> Mesh:
    """A coordinator (with relay) on this host, with a policy from the beginning."""
    coordinator = Coordinator(host)
    if policy is not None:
        coordinator.set_policy(policy)
    coordinator.start()
    return Mesh(coordinator)


def accept(sources: list[str], *destinations: str, proto: str = "") -> dict[str, Any]:
    """One access rule."""
    rule: dict[str, Any] = {"action": "accept", "src": sources, "dst": list(destinations)}
    return rule | ({"proto": proto} if proto else {})


def page(host: Host, address: str, port: int = 80, *, timeout_s: float = QUICK_S) -> str:
    """The page at an address; empty when none comes."""
    with suppress(OSError, LabError):
        return host.http_get(address, port=port, timeout_s=timeout_s)
    return ""


def seen(host: Host, address: str, port: int = 80) -> str:
    """Whom the page at an address takes this host for; empty when none comes."""
    return client_seen(page(host, address, port))


def wait_for_page(host: Host, address: str, port: int = 80, timeout_s: float = SOON_S) -> str:
    """Wait for the page at an address; whom it takes this host for."""
    what = f"{host.name} loads the page of {address}:{port}"
    return client_seen(wait_until(lambda: page(host, address, port, timeout_s=1), timeout_s, what))


def wait_for_no_page(host: Host, address: str, port: int = 80) -> None:
    """Wait until the page of an address is out of reach."""
    what = f"{host.name} no longer loads the page of {address}:{port}"
    wait_until(lambda: not page(host, address, port), SOON_S, what)


@contextmanager
def udp_server(host: Host, port: int, address: str) -> Iterator[socket.socket]:
    """A socket at every address of this family, for `exchange`."""
    with host.udp(port, address="::" if ":" in address else "0.0.0.0") as sock:
        yield sock


def exchange(client: Host, server: socket.socket, address: str, port: int) -> str:
    """One datagram there and one back; whom the server took the client for, or nothing."""
    any_source = "::" if ":" in address else "0.0.0.0"
    server.settimeout(QUICK_S)
    with client.udp(address=any_source) as sock:
        sock.settimeout(QUICK_S)
        with suppress(OSError):
            sock.sendto(b"ask", (address, port))
            data, sender = server.recvfrom(100)
            server.sendto(b"answer", sender)
            if data == b"ask" and sock.recv(100) == b"answer":
                return str(sender[0])
    return ""


def download(client: Host, server: Host, address: str, size: int) -> int:
    """How many bytes arrive of a TCP stream from the server to the client."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = inside(
        server.namespace, lambda: socket.create_server(("", 0), family=family, backlog=1)
    )
    with listener, client.connect(address, listener.getsockname()[1]) as sock:
        there, _ = listener.accept()
        sender = threading.Thread(target=_send, args=(there, size), name="download", daemon=True)
        sender.start()
        got = 0
        while data := sock.recv(1 << 16):
            got += len(data)
        sender.join()
    return got


def _send(sock: socket.socket, size: int) -> None:
    with sock:
        sock.sendall(bytes(size))


def pings(host: Host, address: str) -> bool:
    """Whether an address answers one of some echo requests."""
    with Pulse(host, address, late_s=QUICK_S) as pulse, suppress(LabTimeoutError):
        pulse.wait_for_answers(1, QUICK_S)
        return True
    return False


def leads_into_tunnel(host: Host, address: str) -> bool:
    """Whether the machine's routing sends an address into the mesh."""
    return f"dev {TUNNEL}" in host.try_run(["ip", "route", "get", address]).stdout
