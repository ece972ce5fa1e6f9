"""The appliance as its package leaves it, on a lab host: users, folders and its programs.

home-lan 192.168.1.0/24, fd4c:7a11::/64
  router ──┬── appliance (agent, setup page; the coordinator once it is asked for)
  internet ├── printer   (a web page)
  vps      ├── laptop    (the owner's browser)
           └── phone     (a stock client)

Users, /run and /var/lib are the machine's own: nothing outside the lab sees them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.netns.lab import REPOSITORY, Host, Lab, LabError, Program, wait_until
from tests.netns.lab.namespaces import ETC_NETNS
from tests.netns.lab.web import start_page
from tests.support.mesh import LATCHKEY
from tests.support.wireguard import wireguard_go

LAN: Final = "192.168.1.0/24"
LAN6: Final = "fd4c:7a11::/64"
WEBUI_USER: Final = "latchkey-webui"
COORDINATOR_USER: Final = "latchkey-coordinator"
ADMIN_GROUP: Final = "latchkey-admin"
COORDINATOR_SETTINGS: Final = Path("/var/lib/latchkey-coordinator-settings/coordinator.toml")
WORKERS: Final = 2
"""Of the page, as webui/gunicorn.py has it."""
_ENTRY: Final = Path(__file__).with_name("boxentry.py")
# As sysusers would number them; they mean something on this machine of the lab only.
_WEBUI_ID: Final = 64801
_COORDINATOR_ID: Final = 64802
_ADMIN_ID: Final = 64803


@dataclass(frozen=True, slots=True)
class Home:
    """The house, built and ready."""

    lab: Lab
    vps: Host
    """Where somebody else's coordinator may run."""
    appliance: Host
    printer: Host
    laptop: Host
    phone: Host


def build_home(lab: Lab) -> Home:
    """One LAN behind one router; the printer's page is up."""
    isp = lab.public("isp", "192.0.2.0/24")
    lan = lab.lan("home-lan", LAN, LAN6)
    lab.router("router", outside=isp, number=2, inside=lan)
    home = Home(
        lab=lab,
        vps=isp.host("vps", 10),
        appliance=lan.host("appliance", 10),
        printer=lan.host("printer", 20),
        laptop=lan.host("laptop", 21),
        phone=lan.host("phone", 22),
    )
    lab.build()
    start_page(home.printer).wait_for_line("serving")
    return home


class HomeBox:
    """The box: each program under its own user, with the folders that systemd would make."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.root = host.directory / "box"
        self.trust: Path | None = None
        """A file with the only certificates that the agent trusts; none: the system's."""
        self.agent: Program | None = None
        self.webui: Program | None = None
        self.coordinator: Program | None = None
        self._add_users()
        self._make_folders()

    @property
    def url(self) -> str:
        """Where its page is, without a slash at the end."""
        return f"http://{self.host.ip}"

    def path(self, inside: str) -> Path:
        """Where the tests find a file of its /run or /var/lib."""
        for place, folder in (("/var/lib/", "lib"), ("/run/", "run")):
            if inside.startswith(place):
                return self.root / folder / inside.removeprefix(place)
        raise LabError(f"{inside} is in neither /run nor /var/lib")

    def start(self) -> None:
        """Boot: the agent, the page, and the coordinator's path unit."""
        self.start_agent()
        self.start_coordinator()
        self.start_webui()

    def start_agent(self) -> None:
        """The agent, as root."""
        program = wireguard_go()
        command = [str(LATCHKEY), "agent"]
        if program:
            command += ["--wireguard-go", str(program)]
        env = {"SSL_CERT_FILE": str(self.trust)} if self.trust else {}
        self.agent = self._run("agent", command, env=env)
        socket = self.path("/run/latchkey/latchkey.sock")
        self._wait(self.agent, socket.is_socket, "the agent listens")

    def start_coordinator(self) -> None:
        """Its path unit: the coordinator starts as soon as it has settings."""
        options = ["--when", str(COORDINATOR_SETTINGS), *self._as(COORDINATOR_USER)]
        self.coordinator = self._run("coordinator", [str(LATCHKEY), "coordinator"], *options)

    def start_webui(self) -> None:
        """The setup page: gunicorn with two workers on port 80, by socket activation."""
        code = self.path("/run/latchkey-webui/claim-code")
        code.unlink(missing_ok=True)
        config = REPOSITORY / "webui" / "gunicorn.py"
        self.start_page_program([sys.executable, "-m", "gunicorn", "-c", str(config)])
        assert self.webui is not None
        self._wait(self.webui, self.page_answers, "the page answers")

    def start_page_program(self, command: list[str]) -> None:
        """Any program in the setup page's place."""
        options = ["--listen", "80", *self._as(WEBUI_USER)]
        self.webui = self._run("webui", command, *options)

    def stop_webui(self) -> None:
        """`systemctl stop`, socket and all: connections are refused."""
        assert self.webui is not None
        self.webui.stop()

    def kill_webui(self) -> None:
        """kill -9 of all its processes, as in a crash; systemd would do as much to the workers."""
        assert self.webui is not None
        workers = psutil.Process(self.webui.pid).children(recursive=True)
        self.webui.kill()
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()

    @contextmanager
    def only_worker(self, number: int) -> Iterator[None]:
        """Of the page's workers only this one does anything within the block."""
        assert self.webui is not None
        master = psutil.Process(self.webui.pid)
        wait_until(lambda: len(master.children()) == WORKERS, 10, "the page's workers are there")
        workers = master.children()
        others = [worker for worker in workers if worker != workers[number]]
        for other in others:
            other.suspend()
        try:
            yield
        finally:
            for other in others:
                other.resume()

    def stop_agent(self) -> None:
        """`systemctl stop`."""
        assert self.agent is not None
        self.agent.stop()

    def stop_coordinator(self) -> None:
        """`systemctl stop`."""
        assert self.coordinator is not None
        self.coordinator.stop()

    def page_answers(self) -> bool:
        """Whether something serves HTTP on port 80, whatever it says."""
        try:
            self.host.http_get(self.host.ip, "/", timeout_s=2)
        except LabError:
            return True  # a redirect, or an error page
        except OSError:
            return False
        return True

    def forget_owner(self) -> None:
        """Back to the box that nobody owns, as `latchkey setup-code --reset` leaves it."""
        self.kill_webui()
        self.path("/var/lib/latchkey-webui/reset-owner").touch()
        os.chown(self.path("/var/lib/latchkey-webui/reset-owner"), _WEBUI_ID, _WEBUI_ID)
        self.start_webui()

    def age_claim(self, seconds: float) -> None:
        """As if the box had been started that much earlier."""
        self._in_store(f"update claim set opened = opened - {seconds:g}")

    def forget_tries(self) -> None:
        """As if a minute had gone by since the last wrong code or password."""
        self._in_store("delete from attempt")

    def _in_store(self, statement: str) -> None:
        [store] = self.path("/var/lib/latchkey-webui").glob("*.sqlite*")
        with sqlite3.connect(store) as database:
            database.execute(statement)
        database.close()

    def claim_code(self) -> str:
        """The code, as root finds it on the box; empty when the box has an owner."""
        return self._text("/run/latchkey-webui/claim-code")

    def coordinator_settings(self) -> str:
        """The settings file that the agent has written for the coordinator, or nothing."""
        return self._text(str(COORDINATOR_SETTINGS))

    def _text(self, inside: str) -> str:
        with suppress(OSError):
            return self.path(inside).read_text(encoding="ascii").strip()
        return ""

    def latchkey(self, *arguments: str) -> str:
        """One command of the command line, as root on the box."""
        entry = [sys.executable, str(_ENTRY), "--root", str(self.root), "--"]
        return self.host.run([*entry, str(LATCHKEY), *arguments])

    def _run(
        self, name: str, command: list[str], *options: str, env: dict[str, str] | None = None
    ) -> Program:
        entry = [sys.executable, str(_ENTRY), "--root", str(self.root), *options, "--"]
        paths = {"PYTHONPATH": str(REPOSITORY)}
        return self.host.start(name, [*entry, *command], paths | (env or {}))

    def _wait(self, program: Program, ready: object, what: str) -> None:
        def is_ready() -> bool:
            program.check_alive()
            return bool(ready() if callable(ready) else ready)

        wait_until(is_ready, 30, f"{what}\n{program.log}")

    def _as(self, user: str) -> list[str]:
        """An ordinary user must be able to read Python and the repository."""
        places = {Path(sys.base_prefix), REPOSITORY, Path(sys.prefix)}
        exposed = [word for place in sorted(places) for word in ("--expose", str(place))]
        return ["--user", user, *exposed]

    def _add_users(self) -> None:
        """/etc/passwd and /etc/group of this machine (`ip netns exec` puts them in place)."""
        users = [(WEBUI_USER, _WEBUI_ID), (COORDINATOR_USER, _COORDINATOR_ID)]
        passwd = [f"{name}:x:{uid}:{uid}::/var/lib/{name}:/usr/sbin/nologin" for name, uid in users]
        groups = [f"{name}:x:{uid}:" for name, uid in users]
        groups.append(f"{ADMIN_GROUP}:x:{_ADMIN_ID}:{WEBUI_USER},{COORDINATOR_USER}")
        for name, lines in (("passwd", passwd), ("group", groups)):
            file = ETC_NETNS / self.host.namespace / name
            present = Path("/etc", name).read_text(encoding="utf-8")
            kept = [line for line in present.splitlines() if not line.startswith("latchkey-")]
            file.write_text("\n".join([*kept, *lines, ""]), encoding="utf-8")

    def _make_folders(self) -> None:
        """What tmpfiles, StateDirectory and RuntimeDirectory make."""
        shutil.rmtree(self.root, ignore_errors=True)
        for folder, owner, group, mode in (
            ("run/latchkey", 0, 0, 0o755),
            ("run/latchkey-coordinator", _COORDINATOR_ID, _COORDINATOR_ID, 0o755),
            ("run/latchkey-webui", _WEBUI_ID, _WEBUI_ID, 0o755),
            ("run/lock", 0, 0, 0o755),
            ("run/wireguard", 0, 0, 0o700),
            ("etc", 0, 0, 0o755),
            ("lib/latchkey", 0, 0, 0o700),
            ("lib/latchkey-coordinator", _COORDINATOR_ID, _COORDINATOR_ID, 0o700),
            ("lib/latchkey-coordinator-settings", 0, _COORDINATOR_ID, 0o750),
            ("lib/latchkey-webui", _WEBUI_ID, _WEBUI_ID, 0o700),
        ):
            path = self.root / folder
            path.mkdir(parents=True)
            os.chown(path, owner, group)
            path.chmod(mode)
