"""The Local API from a front end's side: synchronous, one connection a call."""

import json
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from appliance.aio.unixclient import BrokenAnswerError, call_unix
from appliance.localapi.errors import AgentNotRunningError, LocalApiError, NotAllowedError
from appliance.localapi.types import (
    BeCoordinator,
    CoordinatorSettings,
    DoctorReport,
    ExitOptions,
    Failure,
    NetcheckReport,
    Networks,
    PingReply,
    Prefs,
    Progress,
    Routes,
    Status,
    Traffic,
    UpRequest,
)

T = TypeVar("T")

DEFAULT_SOCKET = Path("/run/latchkey/latchkey.sock")
PREFIX = "/localapi/v0"

PROBE_TIMEOUT_S = 300.0
"""Each of up to 64 routes may take some seconds."""


class LocalClient:
    """Talks to the agent behind one socket; every method raises ``LocalApiError``."""

    def __init__(self, path: Path = DEFAULT_SOCKET) -> None:
        self._path = path

    def status(self) -> Status:
        """Ask how things stand."""
        return self._call("GET", "/status", Status)

    def prefs(self) -> Prefs:
        """Ask for the owner's wishes."""
        return self._call("GET", "/prefs", Prefs)

    def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        """Change some wishes; none is changed when one does not fit."""
        return self._call("PATCH", "/prefs", Prefs, changes)

    def up(self, request: UpRequest) -> Progress:
        """Start connecting; follow it with ``watch``."""
        return self._call("POST", "/up", Progress, msgspec.to_builtins(request))

    def down(self) -> Progress:
        """Disconnect and undo every change to the machine."""
        return self._call("POST", "/down", Progress, timeout_s=30)

    def logout(self) -> Progress:
        """Give the node key up, then disconnect."""
        return self._call("POST", "/logout", Progress, timeout_s=30)

    def watch(self, after: int, timeout_s: float = 25.0) -> Progress:
        """Wait until there is progress beyond ``after``, or return the present one in time."""
        query = urlencode({"after": after, "timeout": timeout_s})
        return self._call("GET", f"/watch?{query}", Progress, timeout_s=timeout_s + 10)

    def ping(self, target: str, timeout_s: float) -> PingReply:
        """Send one DISCO ping to a peer by name or address."""
        query = urlencode({"target": target, "timeout": timeout_s})
        return self._call("POST", f"/ping?{query}", PingReply, timeout_s=timeout_s + 10)

    def netcheck(self) -> NetcheckReport:
        """Measure the network now."""
        return self._call("POST", "/netcheck", NetcheckReport, timeout_s=30)

    def routes(self) -> Routes:
        """Ask for every route and its facts."""
        return self._call("GET", "/routes", Routes)

    def probe_routes(self, wanted: str = "") -> Routes:
        """Probe the routes that a prefix, an address or ``exit`` means; empty: all."""
        query = urlencode({"target": wanted})
        return self._call("POST", f"/routes/probe?{query}", Routes, timeout_s=PROBE_TIMEOUT_S)

    def doctor(self, target: str = "") -> DoctorReport:
        """Let the agent examine itself, or the way to a target."""
        query = urlencode({"target": target})
        return self._call("POST", f"/doctor?{query}", DoctorReport, timeout_s=60)

    def exit_options(self) -> ExitOptions:
        """Ask who offers to be exit node."""
        return self._call("GET", "/exit-nodes", ExitOptions)

    def networks(self) -> Networks:
        """Ask which networks this machine is attached to."""
        return self._call("GET", "/networks", Networks)

    def traffic(self) -> Traffic:
        """Ask what went through the tunnel in the last hour."""
        return self._call("GET", "/traffic", Traffic)

    def coordinator(self) -> CoordinatorSettings:
        """Ask whether this machine is a coordinator, or may become one."""
        return self._call("GET", "/coordinator", CoordinatorSettings)

    def be_coordinator(self, request: BeCoordinator) -> CoordinatorSettings:
        """Make this machine a coordinator; the same again changes nothing."""
        body = msgspec.to_builtins(request)
        return self._call("POST", "/coordinator", CoordinatorSettings, body)

    def stop_coordinator(self) -> CoordinatorSettings:
        """Undo ``be_coordinator`` while no other node has joined."""
        return self._call("DELETE", "/coordinator", CoordinatorSettings)

    def _call(
        self, method: str, path: str, kind: type[T], body: object = None, timeout_s: float = 10.0
    ) -> T:
        data = None if body is None else json.dumps(body).encode()
        try:
            status, reply = call_unix(self._path, method, PREFIX + path, data, timeout_s)
        except (FileNotFoundError, ConnectionRefusedError):
            raise AgentNotRunningError(
                "The Latchkey agent is not running. Start it with `systemctl start latchkey-agent`."
            ) from None
        except PermissionError:
            raise NotAllowedError(
                f"You may not open {self._path}. Use sudo, or join its group."
            ) from None
        except TimeoutError:
            raise LocalApiError("The agent did not answer in time.", "timeout") from None
        except BrokenAnswerError as error:
            raise LocalApiError(f"The agent broke off: {error}") from None
        return _read(status, reply, kind)


def _read(status: int, reply: bytes, kind: type[T]) -> T:
    try:
        if status == 200:
            return msgspec.json.decode(reply, type=kind)
        failure = msgspec.json.decode(reply, type=Failure)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LocalApiError(
            "The agent's answer cannot be read. Is it of the same version?"
        ) from None
    if status == 403:
        raise NotAllowedError(failure.message)
    raise LocalApiError(failure.message, failure.code)
