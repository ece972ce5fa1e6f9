"""What the mesh benchmarks share: a lab with a coordinator, and nodes of both kinds in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.netns.lab import Lab, LabError, wait_until
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import Node
from tests.support.peers import PEERS, find_peer
from tests.support.wireguard import why_no_wireguard


class CannotRunError(Exception):
    """A benchmark cannot run here; the message says what is missing."""


@contextmanager
def bench_lab() -> Iterator[Lab]:
    """A lab of this benchmark's own, or a named reason why there is none."""
    reason = why_no_lab() or why_no_wireguard()
    if reason:
        raise CannotRunError(reason)
    with fresh_lab() as lab:
        yield lab


def stock_programs() -> Path | None:
    """The folder with tailscaled and tailscale; None when the peer's column stays empty."""
    return PEERS if find_peer("tailscaled") and find_peer("tailscale") else None


def start_coordinator(coordinator: Coordinator) -> None:
    """Start it with one user."""
    coordinator.start()
    coordinator.new_user("bench")


def wait_for_direct(node: Node, peer: str, timeout_s: float = 20) -> None:
    """Send traffic until the node's path to the peer is direct."""
    address = node.wait_for_peer(peer)["TailscaleIPs"][0]

    def direct() -> str:
        poke(node, address)
        return node.direct_address(peer)

    wait_until(direct, timeout_s, f"{node.host.name} reaches {peer} directly")


def wait_for_relayed(node: Node, peer: str, timeout_s: float = 30) -> None:
    """Wait until a peer whose UDP is blocked is reached again, through the relay."""
    address = node.wait_for_peer(peer)["TailscaleIPs"][0]

    def relayed() -> bool:
        return poke(node, address) and not node.direct_address(peer)

    wait_until(relayed, timeout_s, f"{node.host.name} reaches {peer} through the relay")


def poke(node: Node, address: str) -> bool:
    """Try a TCP connection to iperf3's port; whether somebody was there."""
    try:
        node.host.connect(address, 5201, timeout_s=0.5).close()
    except ConnectionRefusedError:
        return True
    except (OSError, LabError):
        return False
    return True
