"""The agent's Local API and the coordinator's admin API: JSON over HTTP on a Unix socket.

Standard library only: Latchkey's own packages are private to it, and a module runs in the Python
that Ansible finds on the host. Every failure is an ``ApiError`` whose text is one sentence for the
person who runs the playbook.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""The netmap of a thousand nodes is a fraction of it."""


class ApiError(Exception):
    """A call did not succeed; ``code`` is the API's own name for it."""

    def __init__(self, message: str, code: str = "error") -> None:
        super().__init__(message)
        self.code = code


class NotRunningError(ApiError):
    """Nobody listens on the socket."""


@dataclass(frozen=True)
class Program:
    """One of the two programs that take commands, and where."""

    name: str
    unit: str
    socket: str
    prefix: str


AGENT = Program("agent", "latchkey-agent", "/run/latchkey/latchkey.sock", "/localapi/v0")
COORDINATOR = Program(
    "coordinator",
    "latchkey-coordinator",
    "/run/latchkey-coordinator/admin.sock",
    "/adminapi/v0",
)


class Api:
    """One program behind one socket; one connection a call."""

    def __init__(self, program: Program, path: str = "") -> None:
        self._program = program
        self._path = path or program.socket

    def get(self, path: str, timeout_s: float = 10.0, **query: object) -> dict[str, Any]:
        """Ask."""
        return self.call("GET", path + (f"?{urlencode(query)}" if query else ""), None, timeout_s)

    def post(self, path: str, body: object = None, timeout_s: float = 30.0) -> dict[str, Any]:
        """Have something done."""
        return self.call("POST", path, body, timeout_s)

    def call(
        self, method: str, path: str, body: object = None, timeout_s: float = 30.0
    ) -> dict[str, Any]:
        """Send one request; return the answer's JSON object."""
        data = None if body is None else json.dumps(body).encode()
        status, reply = self._exchange(method, self._program.prefix + path, data, timeout_s)
        try:
            answer = json.loads(reply)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ApiError(
                f"The answer of the {self._program.name} cannot be read; is something else "
                f"listening on {self._path}?"
            )
        if status != 200:
            raise ApiError(
                str(answer.get("message") or f"The {self._program.name} answered {status}."),
                str(answer.get("code") or "error"),
            )
        return answer

    def _exchange(
        self, method: str, target: str, data: bytes | None, timeout_s: float
    ) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path, timeout_s)
        who = self._program.name
        try:
            connection.request(method, target, data)
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER_BYTES)
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(self._absent(), f"{who}-not-running") from None
        except PermissionError:
            raise ApiError(
                f"This user may not open {self._path}; run the task with `become: true`.",
                "not-allowed",
            ) from None
        except TimeoutError:
            raise ApiError(f"The {who} did not answer within {timeout_s:g} s.", "timeout") from None
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"The {who} broke off: {error or type(error).__name__}.") from None
        finally:
            connection.close()

    def _absent(self) -> str:
        who, unit = self._program.name, self._program.unit
        if not os.path.isdir("/usr/lib/latchkey") and self._path == self._program.socket:  # noqa: PTH112
            return f"Latchkey is not installed here, so there is no {who} to talk to."
        return f"The {who} is not running: `systemctl start {unit}`, then `journalctl -u {unit}`."


def part(text: object) -> str:
    """Write a name as one part of a path."""
    return quote(str(text), safe="")


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("latchkey", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
