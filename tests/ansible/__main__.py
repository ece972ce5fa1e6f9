"""The playbook, from nothing to a proven route: ``python -m tests.ansible [TEST …]``.

Real: four Debian 13 systems with systemd as process 1, D-Bus, users, journals and apt of their own,
in the lab's networks behind NAT routers; SSH with keys; Ansible from requirements/fleet.txt and the
collection as `.ci/ansible` builds and installs it; our package. Not real: the kernel is that of
this machine, so without its WireGuard packets go through wireguard-go; and the Debian archive is a
small one in the lab.

build/ansible/fleet keeps what Ansible printed (run-N.log) and the hosts' consoles;
build/bench/box-ansible.json has the times for `make bench-box`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.ansible.tree import UnfitMachineError, prepare
from tests.netns.lab import REPOSITORY
from tests.support.labs import why_no_lab

PROGRAMS: Final = (
    *("systemd-nspawn", "mmdebstrap", "dpkg-scanpackages", "ssh", "ssh-keygen", "unshare"),
    *("nsenter", "dh"),
)
CANNOT_RUN: Final = 3


def main(arguments: list[str]) -> int:
    """Build what is tested, then test it; 0 when all passed, 3 when nothing can run here."""
    parser = argparse.ArgumentParser(prog="python -m tests.ansible")
    parser.add_argument("--junitxml", type=Path, default=REPOSITORY / "build/ansible/results.xml")
    parser.add_argument("tests", nargs="*", default=["tests/ansible"], metavar="TEST")
    options = parser.parse_args(arguments)
    try:
        package = _build()
    except UnfitMachineError as error:
        print(f"no fleet here: {error}", file=sys.stderr)
        return CANNOT_RUN
    command = [sys.executable, "-m", "pytest", "-q", "--timeout=1200", "--maxfail=5"]
    command += [f"--junitxml={options.junitxml}", *options.tests]
    env = os.environ | {"LATCHKEY_PACKAGE": str(package)}
    done = subprocess.run(["nice", "-n", "5", *command], cwd=REPOSITORY, env=env, check=False)
    return 1 if done.returncode else 0


def _build() -> Path:
    """The package, the collection and the hosts' Debian."""
    if reason := why_no_lab():
        raise UnfitMachineError(reason)
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        raise UnfitMachineError(f"needs {', '.join(missing)} (.ci/packages-ansible.txt)")
    if not Path("/dev/net/tun").exists():
        raise UnfitMachineError("the kernel has no /dev/net/tun")
    built = subprocess.run(
        [str(REPOSITORY / "image/package/build")], stdout=subprocess.PIPE, text=True, check=False
    )
    if built.returncode == CANNOT_RUN:
        raise UnfitMachineError("the package cannot be built here")
    if built.returncode:
        raise SystemExit(1)
    package = Path(built.stdout.strip().splitlines()[-1])
    if subprocess.run([str(REPOSITORY / ".ci/ansible")], check=False).returncode:
        raise SystemExit(1)
    prepare(package)
    return package


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
