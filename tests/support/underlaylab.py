"""Underlay nodes and their relay on the machines of a lab."""

from __future__ import annotations

import json
import re
import socket
import sys
from dataclasses import dataclass, field
from typing import Any

from tests.netns.lab import Host, wait_until
from tests.netns.lab.lab import REPOSITORY
from tests.netns.lab.programs import Program
from tests.support.peers import require_peer

PORT = 41641
REGION = 900


def start_relay(vps: Host) -> dict[str, Any]:
    """Run our relay on a machine; returns the relay map that names it."""
    settings = vps.directory / "relay.toml"
    settings.write_text(
        f'host = "{vps.ip}"\nstate_directory = "{vps.directory}"\n'
        f'listen = ["{vps.ip}:443"]\nlisten_stun = ["{vps.ip}:3478"]\n'
        "[admission]\nanyone = true\n"
    )
    command = [sys.executable, "-m", "appliance.relay", "--config", str(settings)]
    program = vps.start("relay", command, {"PYTHONPATH": str(REPOSITORY)})
    pin = program.wait_for_line(r"sha256-raw:[0-9a-f]{64}")[0]
    return relay_map(vps.ip, pin)


def start_derper(vps: Host) -> dict[str, Any]:
    """Run the reference relay on a machine; returns the relay map that names it."""
    command = [str(require_peer("derper")), "-a", f"{vps.ip}:443", "-http-port", "-1"]
    command += ["-hostname", vps.ip, "-certmode", "manual", "-certdir", str(vps.directory)]
    program = vps.start("derper", [*command, "-c", str(vps.directory / "derper.json")])
    pin = program.wait_for_line(r"sha256-raw:[0-9a-f]{64}")[0]
    return relay_map(vps.ip, pin)


def relay_map(address: str, pin: str) -> dict[str, Any]:
    """One region with one relay."""
    node = {"Name": "900a", "RegionID": REGION, "HostName": address, "IPv4": address}
    node |= {"CertName": pin}
    region = {"RegionID": REGION, "RegionCode": "lab", "Nodes": [node]}
    return {"Regions": {str(REGION): region}}


@dataclass
class LabNode:
    """A node on a machine: `start` it, `ask` it."""

    host: Host
    number: int
    relays: dict[str, Any]
    peers: list[dict[str, Any]] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)
    program: Program | None = None

    @property
    def address(self) -> str:
        """Its address in the tunnel."""
        return f"100.64.0.{self.number}"

    def meets(self, other: LabNode, *endpoints: str) -> None:
        """Put another node into this one's netmap."""
        self.peers.append(
            {
                "name": other.host.name,
                "address": f"{other.address}/32",
                "endpoints": list(endpoints),
                "home_derp": REGION,
            }
        )

    def start(self) -> None:
        """Run it; returns when it takes commands."""
        settings = self.host.directory / "node.json"
        settings.write_text(
            json.dumps(
                {
                    "name": self.host.name,
                    "interface": f"lku{self.number}",
                    "port": PORT,
                    "fwmark": 0x80000,
                    "address": self.address,
                    "derp_map": self.relays,
                    "peers": self.peers,
                    "ports": self.ports,
                    "control": str(self.host.socket_path("control")),
                }
            )
        )
        command = [sys.executable, "-m", "tests.support.underlaynode", str(settings)]
        log = self.host.directory / "node.log"
        before = log.read_text().count("ready") if log.exists() else 0
        self.program = self.host.start("node", command, {"PYTHONPATH": str(REPOSITORY)})
        program = self.program
        wait_until(
            lambda: program.check_alive() or program.text().count("ready") > before, 20, "a node"
        )

    def kill(self) -> None:
        """kill -9 the agent; the WireGuard device stays."""
        assert self.program is not None
        self.program.kill()

    def ask(self, do: str, **options: Any) -> dict[str, Any]:
        """Give a command and wait for the answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(str(self.host.socket_path("control")))
            control.sendall(json.dumps({"do": do} | options).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                piece = control.recv(65536)
                assert piece, self.log()
                answer += piece
        found: dict[str, Any] = json.loads(answer)
        return found

    def path_to(self, other: LabNode) -> str:
        """How it reaches the other: ``direct ADDRESS`` or ``relay REGION``."""
        return str(self.ask("status")["paths"][other.host.name])

    def wait_for_relay(self) -> None:
        """Wait until the home relay is connected."""
        wait_until(lambda: self.ask("status")["relays"].get(str(REGION)), 10, self.log())

    def wait_for_path(self, other: LabNode, pattern: str, timeout_s: float = 10) -> None:
        """Wait until the path to the other looks like this."""
        wait_until(
            lambda: re.search(pattern, self.path_to(other)), timeout_s, f"{pattern}\n{self.log()}"
        )

    def log(self) -> str:
        """What it printed last."""
        return self.program.tail() if self.program else ""


def echo_server(node: LabNode) -> socket.socket:
    """A UDP socket in the tunnel; `longest_silence` answers on it."""
    return node.host.udp(7, address=node.address)
