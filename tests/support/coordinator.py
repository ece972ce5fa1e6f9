"""Our coordinator, with its relay, on a lab host."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.netns.lab import Host, LabError, Program, wait_until
from tests.netns.lab.pki import Authority
from tests.support.mesh import LATCHKEY, Join

RELAY: Final = "lab"  # the region's code, as status and ping show it
_RELAY_PORT: Final = 8443


class Coordinator:
    """The coordinator on 443 and its relay, in the same process or (8443) in another."""

    def __init__(self, host: Host, *, separate_relay: bool = False) -> None:
        self.host = host
        self.directory = host.directory / "coordinator"
        self.directory.mkdir(parents=True, exist_ok=True)
        self.url = f"https://{host.ip}"
        self.authority = Authority(self.directory / "tls")
        self._files = self.authority.issue(host.name, *map(str, host.plan.addresses()))
        self._separate_relay = separate_relay
        self.admin_socket = host.socket_path("admin.sock")
        self.program: Program | None = None
        self._policy = self.directory / "policy.hujson"
        self._policy.write_text("{}", encoding="utf-8")

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
        if self._separate_relay:
            self._start_relay()
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

    def set_policy(self, policy: dict[str, Any]) -> None:
        """Put a policy in force; an empty one allows everything."""
        self._policy.write_text(json.dumps(policy), encoding="utf-8")
        if self.program is not None:
            self.admin("policy", "set", str(self._policy), "--yes")

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

    def _start_relay(self) -> None:
        """The relay as a program of its own, which asks the coordinator whom to admit."""
        config = self.directory / "relay.toml"
        config.write_text(
            f"""\
host = "{self.host.ip}"
state_directory = "{self.directory / "relay"}"
listen = ["[::]:{_RELAY_PORT}"]
certificate = "{self._files.certificate}"
key = "{self._files.key}"

[admission]
verify_url = "{self.url}/verify"
""",
            encoding="utf-8",
        )
        command = [str(LATCHKEY), "relay", "--config", str(config)]
        self.host.start("relay", command, {"SSL_CERT_FILE": str(self.authority.file)})

    def _render(self) -> str:
        return f"""\
server_url = "{self.url}"
state_dir = "{self.directory}"
admin_socket = "{self.admin_socket}"
policy_file = "{self._policy}"

[tls]
cert = "{self._files.certificate}"
key = "{self._files.key}"

{self._render_separate() if self._separate_relay else self._render_embedded()}
"""

    def _render_embedded(self) -> str:
        return f"""\
[derp]
region_code = "{RELAY}"
ipv6 = "{self._ipv6}"
"""

    def _render_separate(self) -> str:
        return f"""\
[derp]
embedded = false

[[derp.regions]]
id = 900
code = "{RELAY}"

[[derp.regions.nodes]]
host = "{self.host.ip}"
port = {_RELAY_PORT}
ipv4 = "{self.host.ip}"
ipv6 = "{self._ipv6}"
"""

    @property
    def _ipv6(self) -> str:
        """The host's IPv6 address, or the map's word for having none."""
        return next((str(a) for a in self.host.plan.addresses() if a.version == 6), "none")
