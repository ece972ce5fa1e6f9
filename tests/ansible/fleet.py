"""Four hosts that Ansible finds over SSH, and the runs of Ansible against them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.ansible.machine import Machine
from tests.ansible.spy import Spy
from tests.ansible.tree import Base
from tests.ansible.world import HOMES, World
from tests.netns.lab import REPOSITORY, Host
from tests.netns.lab.pki import Authority
from tests.support.mesh import Join

BUILD: Final = REPOSITORY / "build" / "ansible"
TOOLS: Final = REPOSITORY / "build" / "fleet-venv" / "bin"
FOLDER: Final = BUILD / "fleet"
URL: Final = "https://vps"
_RUN_S: Final = 900
_FAILURE: Final = re.compile(r'^(?:fatal|failed): .*?"msg": ("(?:[^"\\]|\\.)*")', re.MULTILINE)
_RECAP: Final = re.compile(r"^(\S+)\s+: (ok=.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of Ansible came to."""

    status: int
    output: str
    seconds: float

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The last lines: of each host how many tasks were ok, changed, unreachable, failed."""
        tail = self.output.rpartition("PLAY RECAP")[2]
        return {
            host: {key: int(count) for key, count in re.findall(r"(\w+)=(\d+)", counts)}
            for host, counts in _RECAP.findall(tail)
        }

    def count(self, key: str) -> dict[str, int]:
        """One column of the recap."""
        return {host: counts[key] for host, counts in self.recap.items()}

    @property
    def sentences(self) -> list[str]:
        """What it says of hosts that failed or could not be reached."""
        return [str(json.loads(text)) for text in _FAILURE.findall(self.output)]


class Fleet:
    """The hosts of a world, switched on."""

    def __init__(self, world: World, base: Base, package: Path) -> None:
        self.world = world
        self.package = package
        self._base = base
        self._key = FOLDER / "id_ed25519"
        self._authority = Authority(FOLDER / "tls")
        self._files = {name: self._authority.issue(name) for name in ("vps", "relay")}
        self.machines: dict[str, Machine] = {}
        self.inventory = FOLDER / "inventory.json"
        self.spy = Spy([host.namespace for host in world.lab.hosts])

    def start(self) -> None:
        """Serve the packages, boot all four, write the inventory."""
        serve = [sys.executable, "-m", "http.server", "80", "--directory", str(self._base.archive)]
        self.world.mirror.start("mirror", serve)
        self._key.unlink(missing_ok=True)
        _tool(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)])
        hosts = (self.world.vps, self.world.relay, self.world.home, self.world.parents)
        with ThreadPoolExecutor(len(hosts)) as pool:
            list(pool.map(self.boot, hosts))
        self._write_known_hosts()
        self.inventory.write_text(json.dumps(self._inventory(), indent=2), encoding="utf-8")

    def boot(self, place: Host) -> None:
        """Switch a host on as if its disk were new."""
        if place.name in self.machines:
            self.machines[place.name].stop()
        machine = Machine(place, self._base.tree, FOLDER)
        self.machines[place.name] = machine
        machine.put("/etc/hosts", self._names())
        machine.put("/etc/apt/sources.list", "deb [trusted=yes] http://mirror/ ./\n")
        machine.put("/usr/local/share/ca-certificates/lab.crt", self._authority.file.read_text())
        public = self._key.with_suffix(".pub").read_text(encoding="ascii")
        machine.put("/root/.ssh/authorized_keys", public, 0o600)
        machine.start()
        machine.wait_for_boot()

    def stop(self) -> None:
        """Switch all off."""
        for machine in self.machines.values():
            machine.stop()

    def play(self, *arguments: str, **variables: Any) -> Run:
        """Run site.yml from the owner's machine; variables win over the inventory's."""
        file = FOLDER / "variables.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(variables), encoding="utf-8")
        extra = f"--extra-vars=@{file}"
        return self.ansible(["ansible-playbook", "latchkey.mesh.site", *arguments, extra])

    def module(self, host: str, name: str, arguments: dict[str, Any], *flags: str) -> Run:
        """Run one module of the collection."""
        given = json.dumps(arguments)
        return self.ansible(
            ["ansible", host, "--module-name", f"latchkey.mesh.{name}", "--args", given, *flags]
        )

    def ansible(self, command: list[str]) -> Run:
        """Run one of Ansible's programs from the owner's machine."""
        program, *rest = command
        words = [str(TOOLS / program), "--inventory", str(self.inventory), *rest]
        number = len(list(FOLDER.glob("run-*.log")))
        began = time.monotonic()
        with self.spy.watching():
            done = subprocess.run(
                self.world.admin.argv(words),
                cwd=REPOSITORY,
                env=os.environ | self._env(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_RUN_S,
                check=False,
            )
        seconds = time.monotonic() - began
        log = FOLDER / f"run-{number}.log"
        log.write_text(f"$ {shlex.join(command)}\n{done.stdout}", encoding="utf-8")
        return Run(done.returncode, done.stdout, seconds)

    def admin(self, *arguments: str) -> Any:
        """One command of `latchkey admin` on the coordinator's host; its JSON."""
        printed = self.machines["vps"].run(["latchkey", "admin", *arguments, "--json"])
        return json.loads(printed) if printed.strip() else None

    def latchkey(self, host: str, *arguments: str) -> Any:
        """One command of `latchkey` on a host; its JSON."""
        return json.loads(self.machines[host].run(["latchkey", *arguments, "--json"]))

    def join_of(self, key: str) -> Join:
        """What a node outside the fleet needs to join."""
        file = FOLDER / "laptop-key"
        file.touch(mode=0o600)
        file.write_text(key, encoding="ascii")
        return Join(URL, file, self._authority.file)

    def _names(self) -> str:
        return (Path("/etc/netns") / self.world.admin.namespace / "hosts").read_text()

    def _write_known_hosts(self) -> None:
        key = (self._base.tree / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
        (FOLDER / "known_hosts").write_text(f"* {' '.join(key)}\n", encoding="ascii")

    def _env(self) -> dict[str, str]:
        return {
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
            "ANSIBLE_HOME": str(BUILD / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.world.admin.socket_path("ssh")),
            "ANSIBLE_TIMEOUT": "5",
            "LC_ALL": "C.UTF-8",
            "PYTHONWARNINGS": "ignore",
        }

    def _inventory(self) -> dict[str, Any]:
        ssh = (
            f"-o UserKnownHostsFile={FOLDER / 'known_hosts'} -o StrictHostKeyChecking=yes "
            "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"
        )
        return {
            "all": {
                "vars": {
                    "ansible_user": "root",
                    "ansible_python_interpreter": "/usr/bin/python3",
                    "ansible_ssh_private_key_file": str(self._key),
                    "ansible_ssh_common_args": ssh,
                    "package_file": str(self.package),
                }
            },
            "coordinator": {"hosts": {"vps": self._coordinator()}},
            "relays": {"hosts": {"relay": self._relay()}},
            "gateways": {
                "hosts": {name: self._gateway(name) for name in HOMES},
                "vars": {"gateway_timeout": 60},
            },
            "setup_pages": {"hosts": {"home": {}}},
        }

    def _coordinator(self) -> dict[str, Any]:
        relay = self.world.relay
        return {
            "coordinator_server_url": URL,
            "coordinator_certificate": str(self._files["vps"].certificate),
            "coordinator_private_key": str(self._files["vps"].key),
            "coordinator_users": ["alice"],
            "coordinator_relays": [{"id": 901, "code": "apart", "host": "relay", "ipv4": relay.ip}],
        }

    def _relay(self) -> dict[str, Any]:
        return {
            "relay_host": "relay",
            "relay_coordinator_url": URL,
            "relay_certificate": str(self._files["relay"].certificate),
            "relay_private_key": str(self._files["relay"].key),
        }

    def _gateway(self, name: str) -> dict[str, Any]:
        router = {"home": self.world.home_router, "parents": self.world.parents_router}[name]
        return {"ansible_host": router.ip, "gateway_lans": [HOMES[name]]}


def _tool(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
