"""A Debian system booted with its own systemd, by systemd-nspawn, in a layer above the tree.

Real: systemd, D-Bus, resolved, NetworkManager, apt and dpkg, each of Debian 13. Not real: the
kernel (the host's), udev (containers have none), and the disk.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_BOOT_S: Final = 60.0
_HALT_S: Final = 30.0
_ENV: Final = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
_SETTLED: Final = {"running", "degraded"}


class SystemFailedError(AssertionError):
    """The system did not do what it was told."""


class System:
    """One system: its files stay while it is off, and go with ``remove``."""

    def __init__(self, tree: Path, folder: Path, namespace: str = "") -> None:
        self.folder = folder
        self.root = folder / "root"
        self.namespace = namespace
        """Of ``ip netns``; empty: a network of its own, with loopback alone."""
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._unmount()
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        layers = f"lowerdir={tree},upperdir={folder}/upper,workdir={folder}/work"
        subprocess.run(
            ["mount", "-t", "overlay", "-o", layers, "latchkey-test", str(self.root)], check=True
        )

    def boot(self) -> None:
        """Start it, and wait until all of its jobs are done."""
        self.start()
        self.wait()

    def start(self) -> None:
        """Start it without waiting."""
        network = (
            [f"--network-namespace-path=/run/netns/{self.namespace}"]
            if self.namespace
            else ["--private-network"]
        )
        command = [
            *("systemd-nspawn", "--quiet", "--directory", str(self.root), "--keep-unit"),
            *("--register=no", "--console=read-only", "--bind=/dev/net/tun", "--boot", *network),
            *("--capability=CAP_NET_ADMIN", "--link-journal=no", "--resolv-conf=off"),
        ]
        with (self.folder / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                ["nice", *command],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # A network that it was given is its own, too: it may set its kernel settings.
                env=os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"},
            )

    def wait(self) -> None:
        """Wait until it has booted."""
        limit = time.monotonic() + _BOOT_S
        while time.monotonic() < limit:
            if self._nspawn is None or self._nspawn.poll() is not None:
                break
            if self.try_run("systemctl is-system-running").stdout.strip() in _SETTLED:
                return
            time.sleep(0.2)
        console = (self.folder / "console.log").read_text(errors="replace")
        raise SystemFailedError(f"it does not boot:\n{console[-2000:]}")

    def halt(self) -> None:
        """Switch it off as its owner would."""
        if self._nspawn is None:
            return
        self.try_run("systemctl poweroff")
        try:
            self._nspawn.wait(_HALT_S)
        except subprocess.TimeoutExpired:
            self._kill()
        self._nspawn = None

    def remove(self) -> None:
        """Switch it off, whatever it does, and delete its files."""
        if self._nspawn is not None:
            self._kill()
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def try_run(
        self, command: str | list[str], *, timeout_s: float = 60, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit status."""
        words = shlex.split(command) if isinstance(command, str) else command
        leader = self._leader()
        if leader is None:
            return subprocess.CompletedProcess(words, 255, "", "the system is off")
        return subprocess.run(
            ["nsenter", f"--target={leader}", "--all", *_ENV, *words],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def run(self, command: str | list[str], *, timeout_s: float = 60, text: str = "") -> str:
        """Run a command that must succeed; what it printed."""
        done = self.try_run(command, timeout_s=timeout_s, text=text)
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()
            raise SystemFailedError(f"{command}: status {done.returncode}: {said}")
        return done.stdout

    def install(self, *packages: str | Path) -> str:
        """Have apt install packages, files among them, without recommended ones."""
        names = [self._brought(one) if isinstance(one, Path) else one for one in packages]
        command = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *names]
        return self.run(["env", "DEBIAN_FRONTEND=noninteractive", *command], timeout_s=240)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def exists(self, path: str) -> bool:
        """Whether there is something at this path."""
        return self.try_run(["test", "-e", path]).returncode == 0

    def failed_units(self) -> list[str]:
        """The units that failed."""
        lines = self.run("systemctl --failed --plain --no-legend").splitlines()
        return [line.split()[0] for line in lines]

    def journal(self, unit: str) -> str:
        """What a unit has logged."""
        return self.run(["journalctl", "--no-pager", "--output=cat", f"--unit={unit}"])

    def _brought(self, file: Path) -> str:
        shutil.copy(file, self.root / "root" / file.name)
        return f"/root/{file.name}"

    def _leader(self) -> int | None:
        """The system's first process, as the host sees it."""
        if self._nspawn is None:
            return None
        pid = self._nspawn.pid
        with suppress(OSError, IndexError):
            return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return None

    def _kill(self) -> None:
        leader = self._leader()
        if leader is not None:
            with suppress(ProcessLookupError):
                os.kill(leader, 9)
        if self._nspawn is not None:
            self._nspawn.kill()
            self._nspawn.wait()
            self._nspawn = None

    def _unmount(self) -> None:
        command = ["umount", "--lazy", str(self.root)]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
