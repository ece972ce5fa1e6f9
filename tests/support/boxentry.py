"""Runs one program of an appliance as systemd would: `python boxentry.py OPTIONS -- COMMAND...`.

It has been started in the machine's network namespace with mounts of its own. It puts the
machine's name, /run and /var/lib in place, waits for the file of a path unit, opens the port of a
socket unit, becomes the unit's user, and then is the command.
"""

from __future__ import annotations

import argparse
import ctypes
import grp
import os
import pwd
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

_POLL_S = 0.05
_FIRST_PASSED_FD = 3
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUTS = 0x04000000
_HOSTNAME = "latchkey"  # as the image calls itself
_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Never returns: it becomes the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True, help="holds `run`, `lib`, `etc`")
    parser.add_argument("--when", type=Path, help="wait until this file exists")
    parser.add_argument("--listen", type=int, help="a TCP port to pass as socket activation does")
    parser.add_argument("--user", help="whom to become")
    parser.add_argument("--expose", type=Path, action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    _name_machine()
    _expose(options.expose)
    _mount("--bind", str(options.root / "run"), "/run")
    _mount("--bind", str(options.root / "lib"), "/var/lib")
    if Path("/etc/latchkey").is_dir():  # settings of this machine's own Latchkey mean nothing here
        _mount("--bind", str(options.root / "etc"), "/etc/latchkey")
    while options.when and not options.when.exists():
        time.sleep(_POLL_S)
    if options.listen:
        _listen(options.listen)
    if options.user:
        _become(options.user)
    os.execvp(options.command[0], options.command)


def _name_machine() -> None:
    if _libc.unshare(_CLONE_NEWUTS) != 0:
        raise OSError(ctypes.get_errno(), "cannot give the machine a name of its own")
    socket.sethostname(_HOSTNAME)


def _expose(paths: list[Path]) -> None:
    """Make folders reachable for everybody here, although one above is closed (/root is)."""
    handles = [(path, os.open(path, os.O_PATH)) for path in paths]
    for path, handle in handles:
        closed = next((p for p in reversed(path.parents) if p.exists() and not _is_open(p)), None)
        if closed is not None:
            _mount("-t", "tmpfs", "-o", "mode=0755", "latchkey-lab", str(closed))
        if not path.exists():
            path.mkdir(parents=True)
            _mount("--no-canonicalize", "--bind", f"/proc/{os.getpid()}/fd/{handle}", str(path))
        os.close(handle)


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXOTH)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def _listen(port: int) -> None:
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(128)
    os.dup2(listener.fileno(), _FIRST_PASSED_FD, inheritable=True)
    if listener.fileno() == _FIRST_PASSED_FD:
        os.set_inheritable(_FIRST_PASSED_FD, True)
        listener.detach()
    os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}


def _become(name: str) -> None:
    user = pwd.getpwnam(name)
    os.setgroups([g.gr_gid for g in grp.getgrall() if name in g.gr_mem] + [user.pw_gid])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.environ |= {"HOME": user.pw_dir, "USER": name}
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
