"""Kernel WireGuard, tried in a virtual machine: ``python -m tests.vm [TEST …]``.

Real: Debian's ordinary kernel of the host's own release with its WireGuard, nftables, routes and
namespaces; our programs; the host's Python and tools. Not real: the processor (QEMU emulates it,
so that every machine gives the same answer and none needs /dev/kvm; it is 10 to 30 times slower)
and the disk (the host's root file system, shared read-only by 9p under a layer in memory).

`init` mounts that disk, `inside` runs the tests there. build/vm/ keeps the console
(console.log), the tests' results (results.xml) and what the lab's programs said (lab/).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.emulator import SAME_ADDRESSES
from tests.vm.kernel import CACHE, UnfitMachineError, prepare

ROOT: Final = Path(__file__).resolve().parents[2]
BUILD: Final = ROOT / "build" / "vm"
TESTS: Final = (
    "tests/vm",
    "tests/netns/dataplane",
    *(
        f"tests/netns/gateway/test_{name}.py"
        for name in ("gateway", "housekeeping", "nft_accepts", "revocation", "shortcut")
    ),
)
"""Of the gateway what depends on the kernel; the packet matrix would take an hour here."""
LIMIT_S: Final = 1500
"""About twice what it takes on two busy cores; the machine is switched off then."""
_TAIL_LINES: Final = 60


def main(arguments: list[str]) -> int:
    """Boot, run the tests inside, keep the results; 0 when all passed, 3 when none can run."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm")
    parser.add_argument("--junitxml", type=Path, default=BUILD / "results.xml")
    parser.add_argument("tests", nargs="*", default=TESTS, metavar="TEST")
    options = parser.parse_args(arguments)
    results: Path = options.junitxml
    try:
        status = boot(tests=options.tests)
    except UnfitMachineError as error:
        print(error, file=sys.stderr)
        return 3
    return _judge(status, results)


def boot(*, tests: Sequence[str] = (), program: str = "", counted: bool = False) -> int:
    """Run tests inside, or a module with its arguments; QEMU's exit status.

    With ``counted`` there is one processor, and its clock goes by the instructions that it carries
    out, 2 ns each: what takes the same work takes the same time, whatever else the host does.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    (BUILD / "lab").mkdir(parents=True)
    kernel = prepare()
    command = _command(kernel, tests, program, counted=counted)
    print(f"Booting {kernel.name} in QEMU; its console is {BUILD / 'console.log'}", flush=True)
    return subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode


def _command(kernel: Path, tests: Sequence[str], program: str, *, counted: bool) -> list[str]:
    """QEMU's command line; the kernel hands NAME=VALUE words on to init as its environment."""
    words = [
        *("console=ttyS0", "quiet", "panic=-1", "mitigations=off", "tsc=reliable", "nowatchdog"),
        "rcupdate.rcu_expedited=1",  # namespaces come and go in a fraction of the time
        SAME_ADDRESSES,
        *(f'VM_KERNEL="{kernel}"', f'VM_ROOT="{ROOT}"', f'LATCHKEY_CACHE="{CACHE}"'),
        *(f'VM_TESTS="{" ".join(tests)}"', f'VM_PROGRAM="{program}"'),
    ]
    processors = ["-accel", "tcg,thread=multi", "-smp", "2"]
    if counted:
        processors = ["-accel", "tcg,thread=single", "-smp", "1", "-icount", "shift=1"]
    share = "local,security_model=none,multidevs=remap"
    return [
        *("timeout", "--kill-after=5", str(LIMIT_S), "qemu-system-x86_64"),
        *("-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"),
        *("-machine", "q35", "-cpu", "max,la57=off", *processors),
        *("-m", "2G", "-device", "virtio-rng-pci"),
        *("-kernel", str(kernel / "vmlinuz"), "-initrd", str(kernel / "initramfs")),
        *("-append", " ".join(words), "-serial", f"file:{BUILD / 'console.log'}"),
        *("-virtfs", f"{share},id=root,path=/,mount_tag=root,readonly=on"),
        *("-virtfs", f"{share},id=results,path={BUILD},mount_tag=results"),
    ]


def _judge(status: int, results: Path) -> int:
    """Print the console's end unless all passed."""
    inside = BUILD / "status"
    if inside.exists() and (BUILD / "results.xml").exists():
        status = int(inside.read_text(encoding="ascii"))
        if results != BUILD / "results.xml":
            shutil.copyfile(BUILD / "results.xml", results)
    else:
        why = f"took more than {LIMIT_S} s" if status == 124 else f"ended early (QEMU: {status})"
        print(f"The virtual machine {why}.", file=sys.stderr)
        status = 1
    console = (BUILD / "console.log").read_text(encoding="utf-8", errors="replace").splitlines()
    print("\n".join(console[-_TAIL_LINES:] if status else console[-1:]))
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
