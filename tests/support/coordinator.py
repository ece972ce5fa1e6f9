"""Our coordinator, with its relay, on a lab host."""

from __future__ import annotations

import json
from typing import Any

from tests.netns.lab import Host, LabError, Program, wait_until
from tests.netns.lab.pki import Authority
from tests.support.mesh import LATCHKEY, Join


class Coordinator:
    """The coordinator and relay on one machine, TLS on 443, STUN on 3478."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.directory = host.directory / "coordinator"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.url = f"https://{host.ip}"
        self.authority = Authority(self.directory / "tls")
        self.admin_socket = self.directory / "admin.sock"
        self.program: Program | None = None

    def start(self) -> Program:
        """Start it and wait until it answers."""
        config = self.directory / "coordinator.toml"
        config.write_text(self._render(), encoding="utf-8")
        command = [str(LATCHKEY), "coordinator", "--config", str(config)]
        program = self.host.start("coordinator", command)
        self.program = program

        def healthy() -> bool:
            program.check_alive()
            try:
                trust = self.authority.context()
                self.host.http_get(self.host.ip, "/health", port=443, trust=trust)
            except (OSError, LabError):
                return False
            return True

        wait_until(healthy, 15, f"the coordinator answers\n{program.log}")
        return program

    def admin(self, *arguments: str) -> Any:
        """One admin command; returns its JSON."""
        command = [str(LATCHKEY), "admin", "--socket", str(self.admin_socket)]
        printed = self.host.run([*command, *arguments, "--json"])
        return json.loads(printed) if printed.strip() else None

    def new_user(self, name: str) -> None:
        """Create a user."""
        self.admin("users", "create", name)

    def new_key(self, user: str, *flags: str) -> Join:
        """Create a pre-auth key of that user; what a node needs to join with it."""
        made = self.admin("preauthkeys", "create", "--user", user, *flags)
        number = len(list(self.directory.glob("key-*")))
        file = self.directory / f"key-{number}"
        file.touch(mode=0o600)
        file.write_text(made["key"], encoding="ascii")
        return Join(self.url, file, self.authority.file)

    def node(self, name: str) -> dict[str, Any]:
        """What it knows of a node; empty when it knows none of that name."""
        nodes: list[dict[str, Any]] = self.admin("nodes", "list")["nodes"]
        return next((node for node in nodes if node["name"] == name), {})

    def approve(self, node: str, *prefixes: str) -> None:
        """Approve routes that a node advertises."""
        self.admin("routes", "approve", node, *prefixes)

    def netmap_of(self, node: str) -> dict[str, Any]:
        """What a stock client believes of the mesh, asked over its control channel (c2n)."""
        netmap: dict[str, Any] = self.admin("debug", "netmap", node)
        return netmap

    def path_between(self, node: str, address: str) -> dict[str, Any]:
        """Let a node ping an address by DISCO, over its control channel: the path it uses."""
        answer: dict[str, Any] = self.admin("ping", node, address)
        return answer

    def publish(self, node: str, address: str) -> None:
        """Offer one host behind a subnet router to clients that accept no subnet routes."""
        self.admin("routes", "publish", node, address)

    def _render(self) -> str:
        """The settings file: TLS by the lab's authority, the relay in the same process."""
        files = self.authority.issue(self.host.name, *map(str, self.host.plan.addresses()))
        return f"""\
server_url = "{self.url}"
state_dir = "{self.directory}"
admin_socket = "{self.admin_socket}"

[tls]
cert = "{files.certificate}"
key = "{files.key}"

[derp]
region_code = "lab"
ipv6 = "{_ipv6(self.host)}"
"""


def _ipv6(host: Host) -> str:
    """The host's IPv6 address, or the map's word for having none."""
    return next((str(a) for a in host.plan.addresses() if a.version == 6), "none")
