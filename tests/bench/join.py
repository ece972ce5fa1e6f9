"""Waiting times: `up` on a fresh node to the printer's first byte, and until a path is direct.

laptop, stock ── hostel router ──┬── internet ──┬── home router ──┬── appliance
                                 vps: coordinator + relay         └── printer
"""

from __future__ import annotations

import functools
import shutil
import statistics
import sys
import time
from typing import Final

from appliance.localapi.client import LocalClient
from tests.bench.mesh import CannotRunError, bench_lab, start_coordinator, stock_programs
from tests.bench.report import Row, Target, publish, row
from tests.netns.lab import Host, LabTimeoutError, wait_until
from tests.netns.lab.web import start_page
from tests.netns.topologies import HomeAndHostel, home_and_hostel
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode, Node, StockNode

JOINS: Final = 5
PATHS: Final = 50
_PATIENCE_S: Final = 20.0
_POLL_S: Final = 0.005
_RESEND_S: Final = 0.5  # a program that gets no answer asks again


def main() -> int:
    """Run both and publish the rows."""
    with bench_lab() as lab:
        world = home_and_hostel(lab)
        start_page(world.printer).wait_for_line("serving")
        coordinator = Coordinator(world.vps)
        start_coordinator(coordinator)
        appliance = AgentNode(world.appliance, coordinator.new_key("bench"))
        appliance.up("--advertise-routes=192.168.1.0/24")
        coordinator.approve("appliance", "192.168.1.0/24")
        rows = [_joins(world, coordinator), _paths(world, coordinator)]
    publish("join", rows)
    return 0 if all(r.met is not False for r in rows) else 1


def _joins(world: HomeAndHostel, coordinator: Coordinator) -> Row:
    """Alternate fresh nodes of both kinds."""
    ours: list[float] = []
    theirs: list[float] = []
    programs = stock_programs()
    for _ in range(JOINS):
        agent = AgentNode(world.laptop, coordinator.new_key("bench", "--ephemeral"))
        ours.append(_first_byte(agent, world.printer))
        if programs:
            key = coordinator.new_key("bench", "--ephemeral")
            theirs.append(_first_byte(StockNode(world.phone, key, programs), world.printer))
    what = "`up` on a fresh node to the printer's first byte"
    return row(what, "s", ours, theirs, target=Target(at_most=1.5))


def _first_byte(node: Node, printer: Host) -> float:
    """From the start of `up` to the first byte of the page; the daemon runs before and idles."""
    node.start()
    began = time.monotonic()
    node.up("--accept-routes")
    wait_until(lambda: _loads(node.host, printer.ip), _PATIENCE_S, "the printer's page loads")
    took = time.monotonic() - began
    node.command("logout")
    _forget(node)
    return took


def _forget(node: Node) -> None:
    assert node.daemon is not None
    node.daemon.stop()
    shutil.rmtree(node.directory)


def _paths(world: HomeAndHostel, coordinator: Coordinator) -> Row:
    """Restart the laptop's agent again and again; time first packet to direct path."""
    laptop = AgentNode(world.laptop, coordinator.new_key("bench"))
    laptop.up("--accept-routes")
    times = []
    for _ in range(PATHS):
        assert laptop.daemon is not None
        laptop.daemon.stop()
        laptop.port += 1  # a new port: no NAT mapping of the last round helps
        laptop.start()
        client = LocalClient(laptop.socket)
        ready = functools.partial(_is_ready, client)
        wait_until(ready, _PATIENCE_S, "the laptop is on the mesh again")
        times.append(_until_direct(laptop, client, world.printer.ip))
    p95 = statistics.quantiles(times, n=20)[18]
    median = statistics.median(times)
    what = f"first packet to direct path, p95 of {PATHS} (median {median:.3f})"
    return row(what, "s", [p95], target=Target(at_most=1.0))


def _until_direct(laptop: AgentNode, client: LocalClient, address: str) -> float:
    with laptop.host.udp() as sender:
        began = time.monotonic()
        while time.monotonic() - began < _PATIENCE_S:
            sender.sendto(b"is there a path?", (address, 9))
            pause = time.monotonic() + _RESEND_S
            while time.monotonic() < pause:
                if _direct(client):
                    return time.monotonic() - began
                time.sleep(_POLL_S)
    raise LabTimeoutError("the laptop's path to the appliance does not become direct")


def _is_ready(client: LocalClient) -> bool:
    """Running and connected to the coordinator."""
    status = client.status()
    return status.backend_state == "Running" and status.control_online


def _direct(client: LocalClient) -> bool:
    return any(
        peer.cur_addr
        for peer in client.status().peers.values()
        if peer.dns_name.startswith("appliance.")
    )


def _loads(host: Host, address: str) -> bool:
    try:
        host.http_get(address, timeout_s=0.5)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRunError as error:
        sys.exit(f"join: {error}")
