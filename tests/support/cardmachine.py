"""A card in an emulated arm64 machine, on a lab's Ethernet: `-M virt` with what the card has.

Real: the card's partitions, kernel, initramfs and everything that starts from it. Not real: the
board. QEMU takes kernel and command line from the card's boot partition as a Pi's firmware does,
and the disk is a virtio one. The processor is emulated, 10 to 30 times slower than this machine,
and programs' addresses are not random.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.netns.lab import Host, LabError, Program, wait_until
from tests.support.emulator import SAME_ADDRESSES

_BOOT_OFFSET: Final = 4 * 1024 * 1024
_CARD_BYTES: Final = 6 * 1024**3
"""Larger than the image: the first start has something to grow into."""
UP_S: Final = 420.0
"""From power on to the setup page, on a busy machine; about a minute on an idle one."""
_TAP: Final = "tap0"
_MAC: Final = "52:54:00:12:34:10"


@dataclass(frozen=True, slots=True)
class Card:
    """An unpacked image."""

    image: Path

    def insert(self, folder: Path) -> Path:
        """A copy of one's own, as large as a small card; holes stay holes."""
        folder.mkdir(parents=True, exist_ok=True)
        copy = folder / "card.img"
        subprocess.run(
            ["cp", "--sparse=always", "--reflink=auto", str(self.image), str(copy)], check=True
        )
        os.truncate(copy, _CARD_BYTES)
        return copy


def unpack(packed: Path, folder: Path) -> Card:
    """The image behind an .img.xz, its checksum looked at."""
    subprocess.run(
        ["sha256sum", "--check", "--quiet", f"{packed.name}.sha256"], cwd=packed.parent, check=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    image = folder / packed.stem
    with image.open("wb") as out:
        subprocess.run(["xz", "-dc", str(packed)], stdout=out, check=True)
    sparse = image.with_suffix(".sparse")
    subprocess.run(["cp", "--sparse=always", str(image), str(sparse)], check=True)
    sparse.replace(image)
    return Card(image)


class CardMachine:
    """One machine with one card; it may be switched off and on again."""

    def __init__(self, card: Card, wire: Host, folder: Path, *, memory_mib: int = 1024) -> None:
        self.disk = card.insert(folder)
        self.folder = folder
        self.wire = wire
        self._memory_mib = memory_mib
        self._program: Program | None = None
        self._starts = 0
        self._shell: socket.socket | None = None
        self._shell_answers = False
        self._commands = 0

    @property
    def console(self) -> str:
        """What the serial console of this start showed so far."""
        file = self.folder / f"console-{self._starts}.log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def put(self, name: str, text: str | bytes) -> None:
        """Write a file to the boot partition, as its owner does in a computer; it is off."""
        file = self.folder / "put"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self._mtools("mcopy", "-o", str(file), f"::{name}")

    def read(self, name: str) -> str:
        """A file of the boot partition as it is on the card now; empty when there is none."""
        file = self.folder / "read"
        file.unlink(missing_ok=True)
        try:
            self._mtools("mcopy", "-n", f"::{name}", str(file))
        except subprocess.CalledProcessError:
            return ""
        return file.read_text(encoding="utf-8-sig", errors="replace")

    def start(self, *, cable: bool = True, clock: str = "", shell: bool = False) -> None:
        """Switch it on; ``clock`` is what its clock says, ``shell`` a root shell for the test."""
        self._starts += 1
        boot = self.folder / "boot"
        shutil.rmtree(boot, ignore_errors=True)
        boot.mkdir()
        for name in ("vmlinuz", "initrd.img", "cmdline.txt"):
            self._mtools("mcopy", f"::{name}", str(boot / name))
        words = (boot / "cmdline.txt").read_text().split()
        # The board's serial port has another name here.
        words = [word for word in words if not word.startswith("console=ttyS")]
        words += ["console=ttyAMA0", SAME_ADDRESSES]
        words += ["systemd.debug_shell=hvc0"] if shell else []
        self._program = self.wire.start(
            f"qemu-{self._starts}", self._command(boot, " ".join(words), cable, clock, shell)
        )
        if shell:
            self._connect_shell()

    def _command(self, boot: Path, words: str, cable: bool, clock: str, shell: bool) -> list[str]:
        net = ["-nic", "none"]
        if cable:
            self._plug_in()
            net = ["-netdev", f"tap,id=n0,ifname={_TAP},script=no,downscript=no"]
            net += ["-device", f"virtio-net-pci,netdev=n0,mac={_MAC}"]
        extra = ["-rtc", f"base={clock}"] if clock else []
        if shell:
            extra += ["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"]
            # It waits for us: while nobody reads, its kernel spins in the console's driver.
            extra += ["-chardev", f"socket,id=shell,path={self._shell_path},server=on,wait=on"]
        return [
            *("nice", "-n", "5", "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"),
            *("-accel", "tcg,thread=multi", "-smp", "2", "-m", str(self._memory_mib)),
            *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-kernel", str(boot / "vmlinuz"), "-initrd", str(boot / "initrd.img")),
            *("-append", words, "-device", "virtio-rng-pci", "-device", "i6300esb"),
            *("-drive", f"file={self.disk},format=raw,if=none,id=card,cache=writeback"),
            *("-device", "virtio-blk-pci,drive=card"),
            *("-serial", f"file:{self.folder / f'console-{self._starts}.log'}"),
            *net,
            *extra,
        ]

    @property
    def _shell_path(self) -> Path:
        return self.wire.socket_path("shell")

    def _connect_shell(self) -> None:
        shell = socket.socket(socket.AF_UNIX)
        path = str(self._shell_path)
        wait_until(lambda: shell.connect_ex(path) == 0, 20, "the machine's shell has its socket")
        self._shell, self._shell_answers = shell, False

    def _plug_in(self) -> None:
        self.wire.try_run(["ip", "tuntap", "add", _TAP, "mode", "tap"])
        self.wire.run(["ip", "link", "set", _TAP, "master", "br0", "up"])

    def wait_for_console(self, text: str, timeout_s: float = UP_S) -> str:
        """Wait until the console shows the text; all that it shows."""
        self.wait_until(lambda: text in self.console, timeout_s, f"the console shows {text!r}")
        return self.console

    def wait_until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait for something that it does; fails at once when the emulator has ended."""

        def true_by_now() -> bool:
            if self._program is not None:
                self._program.check_alive()
            return condition()

        wait_until(true_by_now, timeout_s, what)

    def in_shell(self, command: str, timeout_s: float = UP_S) -> str:
        """What a command prints in the root shell of ``start(shell=True)``."""
        shell = self._shell
        if shell is None:
            raise LabError("This start has no shell.")
        deadline = time.monotonic() + timeout_s
        if not self._shell_answers:
            _say(shell, "\n", "# ", deadline, again=True)  # heard once somebody listens
            self._shell_answers = True
        self._commands += 1
        number = self._commands
        # The words are put together by the shell, so that its echo is not the answer.
        line = f"echo start'{number}'; {command}; echo end'{number}'\n"
        said = _say(shell, line, f"end{number}\n", deadline)
        return said.rpartition(f"start{number}\n")[2].rpartition(f"end{number}\n")[0]

    def journal(self) -> str:
        """The journal's end of the start before, or why there is none; it starts once more."""
        self.cut_power()
        try:
            self.start(cable=False, shell=True)
            self.in_shell("journalctl --flush")  # this start's own; then that is the last one
            return self.in_shell("journalctl -b -1 -n 150 -o short-monotonic --no-pager")
        except LabError as error:
            return f"The journal cannot be read: {error}"

    def cut_power(self) -> None:
        """Pull the plug."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        if self._program is not None:
            self._program.kill()
            self._program = None

    def wait_until_off(self, timeout_s: float = 120) -> None:
        """Wait until it has switched itself off."""
        program = self._program
        if program is not None:
            wait_until(lambda: program.exit_status is not None, timeout_s, "the machine is off")
        self._program = None

    def _mtools(self, program: str, *arguments: str) -> None:
        image = f"{self.disk}@@{_BOOT_OFFSET}"
        environment = os.environ | {"MTOOLS_SKIP_CHECK": "1"}
        subprocess.run(
            [program, "-i", image, *arguments], check=True, capture_output=True, env=environment
        )


def _say(
    shell: socket.socket, line: str, until: str, deadline: float, *, again: bool = False
) -> str:
    """Type a line into the shell, ``again`` until it answers; what comes up to some text."""
    shell.settimeout(5)
    shell.sendall(line.encode())
    heard = b""
    while time.monotonic() < deadline:
        try:
            data = shell.recv(65536)
        except TimeoutError:
            if again:
                shell.sendall(line.encode())
            continue
        if not data:
            break  # it is off
        heard += data
        text = heard.decode(errors="replace").replace("\r\n", "\n")
        if until in text:
            return text
    raise LabError(f"the shell in the machine says no {until!r}: {heard[-500:]!r}")
