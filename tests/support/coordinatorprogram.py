"""Our coordinator as a program of its own on loopback."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import CreatePreAuthKey, CreateUser

_START_TIMEOUT_S = 20.0


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class CoordinatorProgram:
    """Starts with the block and ends with it; plain HTTP, embedded relay with its own TLS."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state = directory / "state"
        self.socket = directory / "admin.sock"
        self.log = directory / "coordinator.log"
        self.admin = AdminClient(self.socket)
        self.config = directory / "coordinator.toml"
        self.config.write_text(
            f"""
            server_url = "{self.url}"
            listen = "127.0.0.1:{self.port}"
            state_dir = "{self.state}"
            admin_socket = "{self.socket}"
            base_domain = "mesh.test"
            {"".join(f'{name} = "{value}"' for name, value in settings.items())}
            [derp]
            listen = "127.0.0.1:{free_port()}"
            stun_listen = "127.0.0.1:{free_port()}"
            """
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start it and wait until it answers."""
        latchkey = "import sys; from appliance.__main__ import main; sys.exit(main())"
        command = [sys.executable, "-c", latchkey, "coordinator", "--config", str(self.config)]
        command += flags
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the coordinator does not start:\n{self.log.read_text()}")
            time.sleep(0.02)

    def wait_for_log(self, text: str) -> None:
        """Wait until its log has this text."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while text not in self.log.read_text():
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {text!r} in the log:\n{self.log.read_text()}")
            time.sleep(0.02)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until something holds; meanwhile it may be away."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            with suppress(AdminApiError):
                if condition():
                    return
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain:\n{self.log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without a word, as a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(10)

    def new_key(self, user: str = "alice", **terms: object) -> str:
        """Make a pre-auth key, and its user at the first time."""
        if user not in {known.name for known in self.admin.users().users}:
            self.admin.create_user(CreateUser(name=user))
        return self.admin.create_preauth_key(CreatePreAuthKey(user=user, **terms)).key

    def _answers(self) -> bool:
        try:
            self.admin.status()
        except AdminApiError:
            return False
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
