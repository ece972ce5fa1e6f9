"""wireguard-go as a process: starting it, and finding the one that an earlier run left.

It serves one interface and answers on a socket named after it. That directory is shared by
network namespaces that share a file system, so the answering process is checked: it must live in
our network namespace. The interface lives as long as the process.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from appliance.dataplane.errors import (
    DataplaneError,
    DeviceGoneError,
    InterfaceTakenError,
    NotPermittedError,
    NoTunError,
)
from appliance.host.capabilities import CAP_NET_ADMIN, has_capability
from appliance.protocol.wireguard import MAX_ANSWER_BYTES

SOCKET_DIRECTORY: Final = Path("/var/run/wireguard")
"""Compiled into wireguard-go."""
TUN_DEVICE: Final = Path("/dev/net/tun")

START_TIMEOUT_S: Final = 5.0
"""It takes 10 ms on a small machine; a busy one may need longer."""
STOP_TIMEOUT_S: Final = 2.0
"""A killed process is gone within milliseconds."""
_POLL_S: Final = 0.001
ANSWER_TIMEOUT_S: Final = 5.0
"""An answer takes 0.1 ms, or some milliseconds on a busy machine."""
_READ_SIZE: Final = 256 * 1024


class ControlSocket:
    """One connection to a running wireguard-go; a request waits for its answer."""

    def __init__(self, connected: socket.socket, peer_pid: int) -> None:
        self._socket = connected
        self.pid = peer_pid

    def request(self, data: bytes) -> bytes:
        """Send one request and read its answer, up to the empty line."""
        try:
            self._send(data)
            answer = b""
            while not answer.endswith(b"\n\n"):
                self._wait(select.POLLIN)
                piece = self._socket.recv(_READ_SIZE)
                answer += piece
                if not piece or len(answer) > MAX_ANSWER_BYTES:
                    raise DeviceGoneError(
                        "wireguard-go stopped; the tunnel has to be opened again."
                    )
        except OSError as error:
            raise DeviceGoneError(
                f"wireguard-go no longer answers ({error.strerror or 'too slow'}); "
                "the tunnel has to be opened again."
            ) from error
        return answer

    async def wait_until_closed(self, timeout_s: float) -> None:
        """Wait for the process to let go of its end, or until the time is over."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(timeout_s):
                while await asyncio.get_running_loop().sock_recv(self._socket, _READ_SIZE):
                    pass

    def close(self) -> None:
        """Close the connection; the process goes on."""
        self._socket.close()

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait(select.POLLOUT)

    def _wait(self, event: int) -> None:
        poll = select.poll()
        poll.register(self._socket, event)
        if not poll.poll(ANSWER_TIMEOUT_S * 1000):
            raise TimeoutError


def connect(interface: str) -> ControlSocket | None:
    """Connect to the wireguard-go of this interface; None when none answers there."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.connect(str(_socket_path(interface)))
    except (FileNotFoundError, ConnectionRefusedError):
        opened.close()
        return None
    except OSError as error:
        opened.close()
        raise (
            _not_permitted()
            if isinstance(error, PermissionError)
            else DataplaneError(
                f"The control socket of {interface} cannot be used ({error.strerror})."
            )
        ) from error
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", opened.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    if not _same_network(pid):
        opened.close()
        raise InterfaceTakenError(
            f"A wireguard-go in another network namespace serves an interface named {interface}; "
            "choose another interface name."
        )
    return ControlSocket(opened, pid)


async def start(program: Path, interface: str) -> ControlSocket:
    """Run wireguard-go for a new interface and connect to it.

    It is no child of ours, so it lives on when we die; its errors go where ours go. When this
    fails or is cancelled, it is gone.
    """
    launched = asyncio.get_running_loop().run_in_executor(None, _launch, program, interface)
    try:
        return await _connect_to_new(await asyncio.shield(launched), program, interface)
    except BaseException:
        await asyncio.wait([launched])  # a thread cannot be stopped
        if launched.exception() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(launched.result(), signal.SIGKILL)
        raise


async def _connect_to_new(pid: int, program: Path, interface: str) -> ControlSocket:
    control: ControlSocket | None = None

    def answers() -> bool:
        nonlocal control
        control = connect(interface)
        return control is not None or not is_running(pid)

    if not await eventually(answers, START_TIMEOUT_S):
        raise DataplaneError(f"{program} did not come up in {START_TIMEOUT_S:.0f} s.")
    if control is None:
        raise DataplaneError(
            f"{program} stopped at once; its own message is in this log. "
            "Try another wireguard-go, or a kernel with WireGuard."
        )
    return control


def go_threads(cores: int) -> int:
    """How many threads of wireguard-go may compute at once: all cores but one.

    The kernel's share of forwarding and translating needs a core too, and the fewer threads pass
    packets to each other, the less a packet costs (docs/decisions/0009).
    """
    return max(1, cores - 1)


async def stop(control: ControlSocket) -> None:
    """End the process, with which its interface goes.

    Killed, because it takes more than a second to end when asked, and has nothing to save.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(control.pid, signal.SIGKILL)
    await control.wait_until_closed(STOP_TIMEOUT_S)
    control.close()


async def eventually(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Ask every millisecond until it is so; False when the time is over."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - another process tells us nothing by itself
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        return False
    return True


def program_of(pid: int) -> Path | None:
    """Return the program file of a process; None when it cannot be seen."""
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except OSError:
        return None


def is_running(pid: int) -> bool:
    """Whether the process lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def forget_socket(interface: str) -> None:
    """Remove the socket file of a process that was killed."""
    _socket_path(interface).unlink(missing_ok=True)


def _socket_path(interface: str) -> Path:
    return SOCKET_DIRECTORY / f"{interface}.sock"


def _same_network(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink()
    except OSError:
        return False


def _launch(program: Path, interface: str) -> int:
    """Start the program apart from us, by way of a shell that ends at once; its process id."""
    _require_tun()
    # The second variable only spares us a banner about kernels that have WireGuard.
    script = 'LOG_LEVEL=error WG_PROCESS_FOREGROUND=1 "$0" -f "$1" >&2 </dev/null & echo $!'
    threads = go_threads(len(os.sched_getaffinity(0)))
    shell = subprocess.run(
        ["/bin/sh", "-c", script, str(program), interface],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={"PATH": os.defpath, "GOMAXPROCS": str(threads)},
        start_new_session=True,
        check=True,
    )
    return int(shell.stdout)


def _require_tun() -> None:
    if not has_capability(CAP_NET_ADMIN):
        raise _not_permitted()
    try:
        TUN_DEVICE.open("r+b", buffering=0).close()
    except OSError as error:
        raise NoTunError(
            f"{TUN_DEVICE} cannot be opened ({error.strerror}): load the kernel's tun module "
            "(modprobe tun), or let the container have the device."
        ) from error


def _not_permitted() -> NotPermittedError:
    return NotPermittedError(
        "This program may not administer the network; run it as root or give it CAP_NET_ADMIN."
    )
