"""HTTP/1.1 over a Unix socket for front ends: synchronous, one connection a call.

Built on ``http.client`` alone, so that a command line starts fast.
"""

import socket
from pathlib import Path


class BrokenAnswerError(Exception):
    """The connection broke off, or what came back is not HTTP."""


def call_unix(
    path: Path, method: str, target: str, body: bytes | None, timeout_s: float
) -> tuple[int, bytes]:
    """Send one request; return the status and the body of the answer.

    ``FileNotFoundError`` or ``ConnectionRefusedError``: nobody listens; ``PermissionError``: this
    user may not connect; ``TimeoutError``: no answer in time; ``BrokenAnswerError``: the rest.
    """
    # Brings a megabyte with it, which an agent that asks nobody does without.
    import http.client

    connection = http.client.HTTPConnection("latchkey")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(timeout_s)
    try:
        connection.sock.connect(str(path))
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, response.read()
    except (FileNotFoundError, ConnectionRefusedError, PermissionError, TimeoutError):
        raise
    except (OSError, http.client.HTTPException) as error:
        raise BrokenAnswerError(str(error) or type(error).__name__) from None
    finally:
        connection.close()
