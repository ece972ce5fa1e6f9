"""iperf3 between two hosts."""

from __future__ import annotations

import json

from tests.netns.lab.host import Host
from tests.netns.lab.programs import Program


def start_server(host: Host) -> Program:
    """An iperf3 server on every address of the host."""
    program = host.start("iperf3", ["iperf3", "--server", "--forceflush"])
    program.wait_for_line("Server listening")
    return program


def measure(client: Host, server: str, *, seconds: float, streams: int = 1) -> float:
    """TCP throughput from client to server in Mbit/s, as received."""
    command = ["iperf3", "--json", "--client", server, "--parallel", str(streams)]
    text = client.run([*command, "--time", f"{seconds:g}"], timeout_s=seconds + 20)
    return float(json.loads(text)["end"]["sum_received"]["bits_per_second"]) / 1e6
