"""One machine of a lab: run programs in it, open its sockets, block its traffic, listen in."""

from __future__ import annotations

import http.client
import os
import shlex
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Final

from tests.netns.lab import namespaces
from tests.netns.lab.capture import Capture
from tests.netns.lab.errors import LabError
from tests.netns.lab.nat import UNBLOCK, render_block
from tests.netns.lab.programs import PATIENCE, Program
from tests.netns.lab.topology import MachinePlan

UDP: Final = "meta l4proto udp"


class Host:
    """A machine: one network namespace with its own files under build/lab."""

    def __init__(self, namespace: str, plan: MachinePlan, directory: Path) -> None:
        self.namespace = namespace
        self.plan = plan
        self.directory = directory / plan.name
        self.programs: list[Program] = []

    @property
    def name(self) -> str:
        """Its name in the lab, which is also its host name there."""
        return self.plan.name

    @property
    def ip(self) -> str:
        """Its first IPv4 address (of a router: the outside one)."""
        return next(str(a) for a in self.plan.addresses() if a.version == 4)

    @property
    def ip6(self) -> str:
        """Its first IPv6 address (of a router: the outside one)."""
        return next(str(a) for a in self.plan.addresses() if a.version == 6)

    def socket_path(self, name: str) -> Path:
        """Where one of its programs may make a Unix socket of this name."""
        directory = namespaces.SOCKETS / self.namespace
        directory.mkdir(parents=True, exist_ok=True)
        return directory / name

    def argv(self, command: list[str]) -> list[str]:
        """The command line that runs a command in this machine."""
        return namespaces.enter(self.namespace, self.directory / "wireguard", command)

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> Program:
        """Start a program; its output goes to build/lab/<lab>/<machine>/<name>.log."""
        program = Program(name, self.argv(command), self.directory / f"{name}.log", env or {})
        self.programs.append(program)
        return program

    def try_run(
        self, command: list[str], *, timeout_s: float = 30, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit status."""
        return subprocess.run(
            self.argv(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
            check=False,
            env=os.environ | (env or {}),
        )

    def run(
        self, command: list[str], *, timeout_s: float = 30, env: dict[str, str] | None = None
    ) -> str:
        """Run a command that must succeed; returns what it printed."""
        done = self.try_run(command, timeout_s=timeout_s, env=env)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()
            raise LabError(f"{self.name}: {shlex.join(command)}: status {done.returncode}: {said}")
        return done.stdout

    def nft(self, rules: str) -> None:
        """Load nftables text."""
        namespaces.tool(["ip", "netns", "exec", self.namespace, "nft", "-f", "-"], rules)

    def block(self, match: str = UDP) -> None:
        """Drop what matches (default: all UDP), in, out and through, until unblock()."""
        self.nft(render_block(match))

    def unblock(self) -> None:
        """Take the block away again."""
        self.nft(UNBLOCK)

    def set_sysctl(self, key: str, value: str) -> None:
        """E.g. net.netfilter.nf_conntrack_udp_timeout."""
        namespaces.write_sysctls(self.namespace, {key: value})

    def capture(self, interface: str = "eth0", match: str = "udp") -> Capture:
        """Record packets of an interface that match a tcpdump expression, from now on."""
        file = self.directory / f"{interface}.pcap"
        command = ["tcpdump", "-i", interface, "-U", "--immediate-mode", "-s", "512", "-Z", "root"]
        program = self.start("tcpdump", [*command, "-w", str(file), *shlex.split(match)])
        program.wait_for_line("listening on")
        return Capture(program, file)

    def udp(self, port: int = 0, *, address: str = "0.0.0.0") -> socket.socket:
        """A bound UDP socket of this machine, with a time limit of one second."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET

        def open_socket() -> socket.socket:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.settimeout(1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, port))
            return sock

        return namespaces.inside(self.namespace, open_socket)

    def connect(self, address: str, port: int, *, timeout_s: float = 5) -> socket.socket:
        """A TCP connection from this machine."""
        return namespaces.inside(
            self.namespace, lambda: socket.create_connection((address, port), timeout_s * PATIENCE)
        )

    def http_get(
        self,
        address: str,
        path: str = "/",
        *,
        port: int = 80,
        timeout_s: float = 5,
        trust: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> str:
        """Fetch a page from this machine by numeric address; the body when the status is 200."""
        connection = http.client.HTTPConnection(server_name or address, port, timeout=timeout_s)
        connection.sock = self.connect(address, port, timeout_s=timeout_s)
        if trust is not None:
            connection.sock = trust.wrap_socket(
                connection.sock, server_hostname=server_name or address
            )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode("utf-8", errors="replace")
        finally:
            connection.close()
        if response.status != 200:
            raise LabError(f"{self.name} got status {response.status} from {address}: {body}")
        return body


class Router(Host):
    """A machine between two segments, `wan` outside and `lan` inside."""

    @property
    def inside_ip(self) -> str:
        """Its IPv4 address on the inside."""
        return next(str(a.ip) for a in self.plan.links[1].addresses if a.version == 4)
