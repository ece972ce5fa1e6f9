import socket
import threading
from pathlib import Path

import pytest

from appliance.aio.unixclient import BrokenAnswerError, call_unix

REQUEST_ENDS = (b"\r\n\r\n{}", b"identity\r\n\r\n")
"""Of the two that are sent here: with a body, and without."""


def answered(path: Path, answer: bytes) -> threading.Thread:
    """A server for one call."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        connection, _ = listener.accept()
        heard = b""
        while not heard.endswith(REQUEST_ENDS):
            heard += connection.recv(65536)
        connection.sendall(answer)
        connection.close()
        listener.close()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_an_answer_comes_back_with_its_status(tmp_path: Path) -> None:
    server = answered(tmp_path / "s", b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\nno")
    assert call_unix(tmp_path / "s", "POST", "/x", b"{}", 5) == (409, b"no")
    server.join()


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9"]
)
def test_half_an_answer_is_said_to_be_one(tmp_path: Path, answer: bytes) -> None:
    server = answered(tmp_path / "s", answer)
    with pytest.raises(BrokenAnswerError):
        call_unix(tmp_path / "s", "GET", "/x", None, 5)
    server.join()


def test_nobody_listening_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        call_unix(tmp_path / "absent", "GET", "/x", None, 5)
