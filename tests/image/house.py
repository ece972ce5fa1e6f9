"""The house that the box is for, a traveller, and a coordinator between them.

hostel-lan 10.77.0.0/24      internet       home-lan 192.168.1.0/24
  phone ── hostel ──┬───────────────── router ──┬── (the box, by DHCP always .10)
                    │ 203.0.113.10              ├── printer .20
                   vps (coordinator)            └── laptop .21 (the owner)
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.netns.lab import REPOSITORY, Host, Lab, LabError, wait_until
from tests.netns.lab.web import start_page
from tests.support.cardmachine import UP_S, CardMachine
from tests.support.mesh import LATCHKEY, AgentNode, Join

BOX: Final = "192.168.1.10"
LAN: Final = "192.168.1.0/24"
SSID: Final = "Home sweet home"
WIFI_PASSWORD: Final = "a password for guests, too"
WIFI: Final = f'[wifi]\ncountry = "DE"\nssid = "{SSID}"\npsk = "{WIFI_PASSWORD}"\n'
_MAC: Final = "52:54:00:12:34:10"
_TOLD: Final = 2000
"""Characters of the console that an error repeats."""


@dataclass(frozen=True, slots=True)
class House:
    """All machines but the box."""

    lab: Lab
    printer: Host
    laptop: Host
    phone: Host
    stranger: Host
    wire: Host
    coordinator: PlainCoordinator

    def ssh(self, key: Path, command: str, *, timeout_s: float = 120) -> str:
        """What a command prints on the box, run as root from the owner's laptop."""
        done = self.try_ssh(key, command, timeout_s=timeout_s)
        if done.returncode:
            raise LabError(f"{command!r} on the box: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def try_ssh(
        self, key: Path, command: str, *, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=10"]
        options += ["BatchMode=yes", "LogLevel=ERROR"]
        words = [word for option in options for word in ("-o", option)]
        return self.laptop.try_run(
            ["ssh", "-i", str(key), *words, f"root@{BOX}", command], timeout_s=timeout_s
        )

    def page(self, timeout_s: float = 30) -> str:
        """The box's page as the owner's laptop gets it."""
        return self.laptop.try_run(
            ["curl", "-sSL", "-m", str(int(timeout_s)), "-w", "\n%{http_code}", f"http://{BOX}/"],
            timeout_s=timeout_s + 5,
        ).stdout

    def page_answers(self) -> bool:
        """Whether it has one."""
        return self.page().rpartition("\n")[2].startswith("200")


class PlainCoordinator:
    """Our coordinator on plain HTTP: nobody has to trust a certificate of the lab's."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.url = f"http://{host.ip}:8080"
        self._directory = host.directory / "coordinator"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._socket = host.socket_path("admin.sock")

    def start(self) -> None:
        """Start it and wait until it answers."""
        config = self._directory / "coordinator.toml"
        config.write_text(
            f'server_url = "{self.url}"\nlisten = ":8080"\nstate_dir = "{self._directory}"\n'
            f'admin_socket = "{self._socket}"\n',
            encoding="utf-8",
        )
        program = self.host.start(
            "coordinator", [str(LATCHKEY), "coordinator", "--config", str(config)]
        )

        def healthy() -> bool:
            program.check_alive()
            try:
                self.host.http_get(self.host.ip, "/health", port=8080)
            except (OSError, LabError):
                return False
            return True

        wait_until(healthy, 30, f"the coordinator answers\n{program.log}")
        self.admin("users", "create", "family")

    def admin(self, *arguments: str) -> Any:
        """One admin command; returns its JSON."""
        command = [str(LATCHKEY), "admin", "--socket", str(self._socket)]
        printed = self.host.run([*command, *arguments, "--json"])
        return json.loads(printed) if printed.strip() else None

    def new_key(self) -> str:
        """A pre-auth key for one node."""
        return str(self.admin("preauthkeys", "create", "--user", "family")["key"])

    def join(self, name: str) -> Join:
        """What a node in the lab needs."""
        file = self._directory / f"key-{name}"
        file.touch(mode=0o600)
        file.write_text(self.new_key(), encoding="ascii")
        return Join(self.url, file, Path("/etc/ssl/certs/ca-certificates.crt"))

    def node(self, name: str) -> dict[str, Any]:
        """What it knows of a node; empty when it knows none of that name."""
        nodes: list[dict[str, Any]] = self.admin("nodes", "list")["nodes"]
        return next((node for node in nodes if node["name"] == name), {})


def build_house(lab: Lab) -> House:
    """Make it; the printer's page, DHCP and the coordinator are up."""
    datacentre = lab.public("datacentre", "203.0.113.0/24")
    isp = lab.public("isp", "192.0.2.0/24")
    city = lab.public("city", "198.51.100.0/24")
    home = lab.lan("home-lan", LAN)
    hostel = lab.lan("hostel-lan", "10.77.0.0/24")
    vps = datacentre.host("vps", 10)
    stranger = datacentre.host("stranger", 66)
    router = lab.router("router", outside=isp, number=2, inside=home)
    lab.router("hostel", outside=city, number=2, inside=hostel)
    printer, laptop = home.host("printer", 20), home.host("laptop", 21)
    phone = hostel.host("phone", 22)
    lab.build()
    start_page(printer).wait_for_line("serving")
    leases = router.directory / "udhcpd.leases"
    leases.touch()
    config = router.directory / "udhcpd.conf"
    config.write_text(
        "interface lan\nstart 192.168.1.100\nend 192.168.1.150\nmax_leases 20\n"
        f"option subnet 255.255.255.0\noption router 192.168.1.1\noption lease 3600\n"
        f"static_lease {_MAC} {BOX}\nlease_file {leases}\npidfile {router.directory}/udhcpd.pid\n",
        encoding="ascii",
    )
    router.start("udhcpd", ["busybox", "udhcpd", "-f", str(config)])
    coordinator = PlainCoordinator(vps)
    coordinator.start()
    return House(lab, printer, laptop, phone, stranger, home.wire(), coordinator)


def start_box(box: CardMachine, house: House, key: Path, *, clock: str = "") -> float:
    """Switch it on and wait for the page and for SSH; the seconds until the page was there.

    When that does not come to pass, the error tells what the box showed and wrote down.
    """
    began = time.monotonic()
    try:
        box.start(clock=clock)
        box.wait_until(house.page_answers, UP_S, "the page answers")
        took_s = time.monotonic() - began
        box.wait_until(
            lambda: house.try_ssh(key, "true").returncode == 0, UP_S, "SSH lets the owner's key in"
        )
    except LabError as error:
        last = house.try_ssh(key, "true").stderr
        raise LabError(f"{error}\n{last}{box.console[-_TOLD:]}\n{box.journal()}") from None
    return took_s


def traveller(house: House) -> AgentNode:
    """The phone away from home, joined."""
    node = AgentNode(house.phone, house.coordinator.join("phone"))
    node.up("--accept-routes", timeout_s=60)
    return node


def note_figure(name: str, value: float) -> None:
    """Keep a measurement for `make bench-box`."""
    file = REPOSITORY / "build" / "test-image" / "figures.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(known | {name: round(value, 1)}), encoding="utf-8")
