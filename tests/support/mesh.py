"""Nodes of a mesh inside a lab: our agent and the stock client behind one face.

Both take the same flags and print the same status, so a test, the demo or a benchmark drives
either of them in the same words.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from tests.netns.lab import Host, Program, wait_until
from tests.support.wireguard import wireguard_go

LATCHKEY: Final = Path(sys.executable).with_name("latchkey")
_LOCALHOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Join:
    """What a node needs to join: the coordinator's URL, a key file, whom to trust."""

    url: str
    key_file: Path
    ca_file: Path

    @property
    def env(self) -> dict[str, str]:
        """Environment of a program that speaks TLS with the coordinator and its relay."""
        return {"SSL_CERT_FILE": str(self.ca_file)}


class Node:
    """A mesh node on a lab host; subclasses say which program it is."""

    label = "node"

    def __init__(self, host: Host, join: Join, *, port: int = 41641) -> None:
        self.host = host
        self.join = join
        self.port = port
        self.directory = host.directory / self.label
        self.directory.mkdir(parents=True, exist_ok=True)
        self.socket = host.socket_path(f"{self.label}.sock")
        self.daemon: Program | None = None
        self.extra_env: dict[str, str] = {}

    def start(self) -> Program:
        """Start the daemon and wait until it takes commands."""
        if self.daemon is None or self.daemon.exit_status is not None:
            daemon = self.host.start(self.label, self.daemon_command(), self.daemon_env())
            self.daemon = daemon

            def listening() -> bool:
                daemon.check_alive()
                return _answers(self.socket)

            wait_until(listening, 10, f"{self.label} on {self.host.name} listens\n{daemon.log}")
        return self.daemon

    def up(self, *flags: str, timeout_s: float = 30) -> float:
        """Start it, join with the key and these flags; returns how long `up` took."""
        self.start()
        began = time.monotonic()
        self.command(
            "up",
            *(f"--login-server={self.join.url}", f"--auth-key=file:{self.join.key_file}"),
            *(f"--hostname={self.host.name}", *self.up_flags(), *flags),
            timeout_s=timeout_s,
        )
        return time.monotonic() - began

    def set(self, *flags: str) -> None:
        """Change wishes, e.g. --exit-node=appliance."""
        self.command("set", *flags)

    def command(self, *arguments: str, timeout_s: float = 30) -> str:
        """One command of its command line; returns what it printed."""
        return self.host.run([*self.cli(), *arguments], timeout_s=timeout_s, env=self.daemon_env())

    def status(self) -> dict[str, Any]:
        """`status --json`, whether it runs or not."""
        done = self.host.try_run([*self.cli(), "status", "--json"], env=self.daemon_env())
        status: dict[str, Any] = json.loads(done.stdout or "{}")
        return status

    @property
    def ip(self) -> str:
        """Its IPv4 address in the mesh."""
        addresses: list[str] = self.status()["TailscaleIPs"]
        return next(address for address in addresses if ":" not in address)

    def peer(self, name: str) -> dict[str, Any]:
        """What its status says of the peer with this name; empty while it knows none."""
        peers = (self.status().get("Peer") or {}).values()
        return next((peer for peer in peers if _base_name(peer) == name), {})

    def wait_for_peer(self, name: str, timeout_s: float = 10) -> dict[str, Any]:
        """Wait until its netmap has the peer."""
        return wait_until(lambda: self.peer(name), timeout_s, f"{self.host.name} knows {name}")

    def direct_address(self, name: str) -> str:
        """The peer's address on the direct path; empty while there is none."""
        return str(self.peer(name).get("CurAddr", ""))

    def daemon_command(self) -> list[str]:
        """The daemon's command line."""
        raise NotImplementedError

    def cli(self) -> list[str]:
        """The beginning of every command line of its control program."""
        raise NotImplementedError

    def up_flags(self) -> list[str]:
        """Flags that `up` needs in a lab."""
        return []

    def daemon_env(self) -> dict[str, str]:
        """The daemon's environment."""
        return self.join.env | self.extra_env


class AgentNode(Node):
    """Our agent."""

    label = "agent"
    dataplane = os.environ.get("LATCHKEY_TEST_DATAPLANE", "auto")

    def daemon_command(self) -> list[str]:
        program = wireguard_go()
        return [
            *(str(LATCHKEY), "agent", "--state-dir", str(self.directory)),
            *("--socket", str(self.socket), "--port", str(self.port)),
            *("--dataplane", self.dataplane),
            *(("--wireguard-go", str(program)) if program else ()),
        ]

    def cli(self) -> list[str]:
        return [str(LATCHKEY), "--socket", str(self.socket)]


class StockNode(Node):
    """The reference client: tailscaled with a TUN device."""

    label = "tailscaled"

    def __init__(self, host: Host, join: Join, programs: Path, *, port: int = 41641) -> None:
        super().__init__(host, join, port=port)
        self._programs = programs

    def daemon_command(self) -> list[str]:
        return [
            *(str(self._programs / "tailscaled"), "--no-logs-no-support"),
            *(f"--statedir={self.directory}", f"--socket={self.socket}"),
            *(f"--port={self.port}", "--tun=tailscale0"),
        ]

    def cli(self) -> list[str]:
        return [str(self._programs / "tailscale"), f"--socket={self.socket}"]

    def up_flags(self) -> list[str]:
        return ["--accept-dns=false"]

    def daemon_env(self) -> dict[str, str]:
        return {**super().daemon_env(), "TS_DEBUG_FIREWALL_MODE": "nftables"}


class NetstackNode(StockNode):
    """The reference client without a TUN device: a program's way into the mesh is by SOCKS."""

    label = "netstack"
    socks_port = 1055

    def daemon_command(self) -> list[str]:
        return [
            *(str(self._programs / "tailscaled"), "--no-logs-no-support"),
            *(f"--statedir={self.directory}", f"--socket={self.socket}", f"--port={self.port}"),
            *("--tun=userspace-networking", f"--socks5-server={_LOCALHOST}:{self.socks_port}"),
        ]

    def page(self, address: str, port: int = 80, *, timeout_s: float = 1) -> str:
        """The page at an address of the mesh or behind it; empty when none comes."""
        with suppress(OSError), self.host.connect(_LOCALHOST, self.socks_port) as sock:
            sock.settimeout(timeout_s)
            sock.sendall(b"\x05\x01\x00")
            if sock.recv(2) != b"\x05\x00":
                return ""
            target = ip_address(address).packed
            kind = bytes((1 if len(target) == 4 else 4,))
            sock.sendall(b"\x05\x01\x00" + kind + target + port.to_bytes(2, "big"))
            if sock.recv(300)[1:2] != b"\x00":
                return ""
            sock.sendall(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(4096):
                answer += data
            return answer.rpartition(b"\r\n\r\n")[2].decode()
        return ""


class Phone:
    """The stock client as a library (tsnet) inside Caddy: a proxy from localhost into the mesh.

    It has no TUN device and never accepts subnet routes, like a phone app that is left alone.
    """

    def __init__(self, host: Host, join: Join, caddy: Path) -> None:
        self.host = host
        self._join = join
        self._caddy = caddy
        self._directory = host.directory / "caddy"
        self.program: Program | None = None

    def start(self, *targets: str) -> Program:
        """Join the mesh and forward localhost:8080, 8081, ... to the targets (host:port)."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "Caddyfile"
        config.write_text(self._render(targets), encoding="utf-8")
        home = str(self._directory)
        env = self._join.env | {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        command = [str(self._caddy), "run", "--adapter", "caddyfile", "--config", str(config)]
        self.program = self.host.start("caddy", command, env | {"TS_NO_LOGS_NO_SUPPORT": "true"})
        return self.program

    def get(self, number: int = 0, path: str = "/", *, timeout_s: float = 15) -> str:
        """Fetch a page from one of the targets through the mesh."""
        return self.host.http_get(_LOCALHOST, path, port=8080 + number, timeout_s=timeout_s)

    def _render(self, targets: tuple[str, ...]) -> str:
        sites = [
            f"http://{_LOCALHOST}:{8080 + number} {{\n"
            f"  bind {_LOCALHOST}\n"
            f"  reverse_proxy http://{target} {{\n    transport tailscale {self.host.name}\n  }}\n"
            "}\n"
            for number, target in enumerate(targets)
        ]
        return (
            "{\n  admin off\n  auto_https off\n  log {\n    level DEBUG\n  }\n  tailscale {\n"
            f'    auth_key "{{file.{self._join.key_file}}}"\n'
            f"    control_url {self._join.url}\n"
            f'    state_dir "{self._directory}"\n'
            "  }\n}\n" + "".join(sites)
        )


def _answers(path: Path) -> bool:
    """Whether somebody listens; a killed daemon leaves its socket behind."""
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
    return True


def _base_name(peer: dict[str, Any]) -> str:
    return str(peer.get("DNSName") or peer.get("HostName", "")).partition(".")[0]
