"""One host of the fleet: a Debian booted by systemd in a container, at home in a lab's network.

Its files are a layer of memory above the shared tree, so that it is as good as new at each start
and nothing of it is left; its network is the namespace of a machine of the lab. It has its own
processes, users, journal and /dev/net/tun, and the kernel of the machine that runs it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.netns.lab import Host, wait_until
from tests.netns.lab.namespaces import RUN_NETNS

BOOT_S: Final = 60.0
_PATH: Final = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
_MOVE_IN: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 fleet {room}
mkdir {room}/upper {room}/work {room}/root
mount -t overlay -o lowerdir={tree},upperdir={room}/upper,workdir={room}/work fleet {room}/root
cp -R --no-preserve=ownership {seed}/. {room}/root/
chroot {room}/root env {path} update-ca-certificates >/dev/null
exec systemd-nspawn --quiet --directory={room}/root --machine={name} --hostname={name} \
    --network-namespace-path={namespace} --capability=CAP_NET_ADMIN,CAP_NET_RAW \
    --keep-unit --register=no --resolv-conf=off --timezone=off --link-journal=no \
    --console=read-only --boot
"""


class Machine:
    """A host that runs from `start` to `stop`."""

    def __init__(self, place: Host, tree: Path, folder: Path) -> None:
        self.place = place
        self.name = place.name
        self._tree = tree
        self._folder = folder / place.name
        self._process: subprocess.Popen[bytes] | None = None
        self._seed = self._folder / "seed"
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "room").mkdir(parents=True)

    def put(self, path: str, text: str, mode: int = 0o644) -> None:
        """Have a file in the system from the first start on."""
        file = self._seed / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o755 if mode & 0o044 else 0o700)
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def start(self) -> None:
        """Switch it on; `wait_for_boot` says when it is ready."""
        script = _MOVE_IN.format(
            room=self._folder / "room",
            tree=self._tree,
            seed=self._seed,
            name=self.name,
            namespace=RUN_NETNS / self.place.namespace,
            path=_PATH,
        )
        env = os.environ | {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        with (self._folder / "console.log").open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=env,
            )

    def wait_for_boot(self) -> None:
        """Wait until SSH takes logins and everything that a boot does is done."""

        def listens() -> bool:
            assert self._process is not None
            if self._process.poll() is not None:
                console = (self._folder / "console.log").read_text(errors="replace")
                raise AssertionError(f"{self.name} does not boot:\n{console[-2000:]}")
            try:
                self.place.connect(self.place.ip, 22, timeout_s=1).close()
            except OSError:
                return False
            return True

        wait_until(listens, BOOT_S, f"{self.name} boots\n{self._folder / 'console.log'}")
        self.run("systemctl is-system-running --wait", check=False)

    def run(self, command: str | list[str], *, check: bool = True) -> str:
        """Run a command inside as root, past SSH; its standard output."""
        words = shlex.split(command) if isinstance(command, str) else command
        enter = ["nsenter", "--target", str(self._init()), "--all", "--wd=/"]
        done = subprocess.run(
            [*enter, "env", "-i", _PATH, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command}: {done.stdout}{done.stderr}")
        return done.stdout

    @property
    def root(self) -> Path:
        """Its root directory, as this process can read it."""
        return Path(f"/proc/{self._init()}/root")

    def stop(self) -> None:
        """Switch it off at the wall."""
        if self._process is None:
            return
        with suppress(OSError, IndexError):
            init = self._init()
            os.kill(init, signal.SIGKILL)  # and with it everything inside
            wait_until(lambda: not Path(f"/proc/{init}").exists(), 10, f"{self.name} ends")
        self._process.kill()
        self._process.wait()
        self._process = None

    def _init(self) -> int:
        """The process that is number 1 inside."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])
