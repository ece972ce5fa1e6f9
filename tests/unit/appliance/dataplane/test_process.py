from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.dataplane import process
from appliance.dataplane.errors import DataplaneError, DeviceGoneError, NoTunError
from appliance.host.capabilities import CAP_NET_ADMIN, has_capability

needs_admin = pytest.mark.skipif(
    not has_capability(CAP_NET_ADMIN), reason="needs CAP_NET_ADMIN to start wireguard-go"
)


@pytest.fixture
def sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that plays /var/run/wireguard."""
    monkeypatch.setattr(process, "SOCKET_DIRECTORY", tmp_path)
    return tmp_path


@pytest.fixture
def server(sockets: Path) -> Iterator[socket.socket]:
    """A listener where wireguard-go would be, for the interface lkm0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(sockets / "lkm0.sock"))
        listener.listen()
        yield listener


def script(directory: Path, text: str) -> Path:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_nobody_answers_for_an_unknown_or_dead_socket(sockets: Path) -> None:
    assert process.connect("lkm0") is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(sockets / "lkm0.sock"))
    assert process.connect("lkm0") is None
    process.forget_socket("lkm0")
    process.forget_socket("lkm0")
    assert not (sockets / "lkm0.sock").exists()


def test_a_request_waits_for_the_whole_answer_and_large_ones_are_sent_whole(
    server: socket.socket,
) -> None:
    control = process.connect("lkm0")
    assert control is not None
    assert control.pid == os.getpid()
    request = b"x" * 2_000_000 + b"\n\n"
    received = bytearray()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            while not received.endswith(b"\n\n"):
                received.extend(connection.recv(65536))
            connection.sendall(b"listen_port=1\n")
            connection.sendall(b"errno=0\n\n")
            connection.recv(1)

    thread = threading.Thread(target=serve)
    thread.start()
    assert control.request(request) == b"listen_port=1\nerrno=0\n\n"
    control.close()
    thread.join()
    assert bytes(received) == request


def test_a_program_that_went_away_is_a_device_that_is_gone(server: socket.socket) -> None:
    control = process.connect("lkm0")
    assert control is not None
    server.accept()[0].close()
    with pytest.raises(DeviceGoneError, match="opened again"):
        control.request(b"get=1\n\n")
    control.close()


def test_a_program_that_says_nothing_is_given_up(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "ANSWER_TIMEOUT_S", 0.01)
    control = process.connect("lkm0")
    assert control is not None
    with pytest.raises(DeviceGoneError, match="no longer answers"):
        control.request(b"get=1\n\n")
    control.close()


@needs_admin
async def test_a_program_that_stops_at_once_is_reported(sockets: Path) -> None:
    with pytest.raises(DataplaneError, match="stopped at once"):
        await process.start(script(sockets, "exit 1"), "lkm0")


@needs_admin
async def test_a_program_that_does_not_come_up_is_killed(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START_TIMEOUT_S", 0.3)
    program = script(sockets, f"echo $$ >{sockets}/pid; exec sleep 60")
    with pytest.raises(DataplaneError, match="did not come up"):
        await process.start(program, "lkm0")
    pid = int((sockets / "pid").read_text())
    async with asyncio.timeout(5):
        while process.is_running(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@needs_admin
@pytest.mark.parametrize("launched", [False, True])
async def test_a_program_whose_start_is_cancelled_is_killed(sockets: Path, launched: bool) -> None:
    program = script(sockets, 'exec tail -f "$0"')

    def runs() -> bool:
        lines = (_command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
        return any(f"tail\0-f\0{program}".encode() in line for line in lines)

    async with asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(process.start(program, "lkm0"), name="start")
        await asyncio.sleep(0)
        assert not launched or await process.eventually(runs, 5)
        starting.cancel()
    assert await process.eventually(lambda: not runs(), 5)


@needs_admin
async def test_without_a_tun_device_the_error_says_what_to_do(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TUN_DEVICE", sockets / "missing")
    with pytest.raises(NoTunError, match="modprobe tun"):
        await process.start(script(sockets, "exit 0"), "lkm0")


@needs_admin
async def test_the_program_is_asked_for_the_interface_and_logs_errors_only(sockets: Path) -> None:
    server = (
        "import os, socket, sys, time; s = socket.socket(socket.AF_UNIX); "
        f"open('{sockets}/asked', 'w').write(' '.join(sys.argv[1:]) + os.environ['LOG_LEVEL']); "
        f"s.bind('{sockets}/lkm0.sock'); s.listen(); "
        "s.accept(); time.sleep(60)"
    )
    program = script(sockets, f'exec {sys.executable} -c "{server}" "$@"')
    control = await process.start(program, "lkm0")
    assert process.program_of(control.pid) == Path(sys.executable).resolve()
    await process.stop(control)
    assert (sockets / "asked").read_text() == "-f lkm0error"


def test_a_dead_process_is_not_running() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert not process.is_running(ended.pid)
    assert process.is_running(os.getpid())


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 3)])
def test_wireguard_go_leaves_one_core_to_the_kernel(cores: int, threads: int) -> None:
    assert process.go_threads(cores) == threads


def _command_line(path: Path) -> bytes:
    """Other processes of the machine may end while we look."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
