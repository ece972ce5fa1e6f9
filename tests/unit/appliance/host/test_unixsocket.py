import os
import socket
import stat
from pathlib import Path

import pytest

from appliance.host.unixsocket import Caller, SocketInUseError, listen_unix, peer_credentials


def test_the_socket_has_the_permissions_asked_for(tmp_path: Path) -> None:
    with listen_unix(tmp_path / "new" / "sock", 0o660):
        assert stat.S_IMODE((tmp_path / "new" / "sock").stat().st_mode) == 0o660


def test_a_socket_that_a_dead_instance_left_is_replaced(tmp_path: Path) -> None:
    listen_unix(tmp_path / "sock", 0o600).close()
    with listen_unix(tmp_path / "sock", 0o600):
        pass


def test_a_living_instance_is_not_pushed_aside(tmp_path: Path) -> None:
    with listen_unix(tmp_path / "sock", 0o600), pytest.raises(SocketInUseError, match="already"):
        listen_unix(tmp_path / "sock", 0o600)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sock").write_text("precious")
    with pytest.raises(SocketInUseError, match="not a socket"):
        listen_unix(tmp_path / "sock", 0o600)
    assert (tmp_path / "sock").read_text() == "precious"


def test_a_path_too_long_for_the_kernel_is_an_error_with_words(tmp_path: Path) -> None:
    room = 107 - len(str(tmp_path / "x")) + 1
    with listen_unix(tmp_path / ("a" * room), 0o600):
        pass
    with pytest.raises(OSError, match="File name too long") as caught:
        listen_unix(tmp_path / ("a" * (room + 1)), 0o600)
    assert caught.value.strerror == "File name too long"


def test_the_kernel_says_who_called(tmp_path: Path) -> None:
    with (
        listen_unix(tmp_path / "sock", 0o600) as listener,
        socket.socket(socket.AF_UNIX) as client,
    ):
        client.connect(str(tmp_path / "sock"))
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted:
            assert peer_credentials(accepted) == Caller(os.getpid(), os.getuid(), os.getgid())
