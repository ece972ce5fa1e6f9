"""The Local API from the agent's side: who may call, and what each call reaches.

Anyone on the machine may look; who may change what stands beside each call. Requests from web
pages (``Origin`` or ``Referer``) are refused, so that no page can drive the agent through a proxy.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

import msgspec

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest, HttpResponse, serve_http1
from appliance.aio.listener import serve_connections
from appliance.aio.messages import json_response
from appliance.aio.stream import TcpStream
from appliance.host.unixsocket import Caller, peer_credentials
from appliance.localapi.client import PREFIX
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

MAX_WAIT_S = 60.0
"""The longest that one call may wait; front ends ask again."""


class BackendError(Exception):
    """A call that the agent cannot serve; ``code`` is for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Backend(Protocol):
    """What the agent offers to front ends; every method may raise ``BackendError``."""

    def status(self) -> Status:
        """Tell how things stand."""

    def prefs(self) -> Prefs:
        """Tell the owner's wishes."""

    async def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        """Change wishes, all or none."""

    async def up(self, request: UpRequest) -> Progress:
        """Start connecting."""

    async def down(self) -> Progress:
        """Disconnect and undo every change to the machine."""

    async def logout(self) -> Progress:
        """Give the node key up and disconnect."""

    async def watch(self, after: int, timeout_s: float) -> Progress:
        """Wait for progress beyond ``after``."""

    async def ping(self, target: str, timeout_s: float) -> PingReply:
        """Ping a peer by name or address."""

    async def netcheck(self) -> NetcheckReport:
        """Measure the network now."""

    async def routes(self) -> Routes:
        """Look at every route now, and tell its facts."""

    async def probe_routes(self, wanted: str) -> Routes:
        """Probe the routes that a prefix or an address means; empty: all."""

    def exit_options(self) -> ExitOptions:
        """Tell who offers to be exit node."""

    async def doctor(self, target: str) -> DoctorReport:
        """Examine this node, or the way to a target."""


class BoxBackend(Protocol):
    """What the machine offers to its setup page beside the mesh; errors as with ``Backend``."""

    def networks(self) -> Networks:
        """Tell which networks this machine is attached to."""

    def traffic(self) -> Traffic:
        """Tell what went through the tunnel in the last hour."""

    async def coordinator(self) -> CoordinatorSettings:
        """Tell whether this machine is a coordinator, or may become one."""

    async def be_coordinator(self, request: BeCoordinator) -> CoordinatorSettings:
        """Make this machine a coordinator."""

    async def stop_coordinator(self) -> CoordinatorSettings:
        """Undo that, while no other node has joined."""


class Role(Enum):
    """Who calls, as far as it matters here."""

    ROOT = "root"
    OPERATOR = "operator"
    """A person whom the settings name."""
    PAGE = "setup page"
    """The setup page, which asks its own visitors who they are."""
    ANYONE = "anyone"
    """Any other user of this machine."""


@dataclass(frozen=True, slots=True)
class Trusted:
    """The users who are more than anyone."""

    operator_uid: int | None = None
    page_uid: int | None = None

    def role_of(self, caller: Caller) -> Role:
        """Return what a caller is."""
        if caller.uid == 0:
            return Role.ROOT
        if caller.uid == self.operator_uid:
            return Role.OPERATOR
        return Role.PAGE if caller.uid == self.page_uid else Role.ANYONE


async def serve_local_api(
    sock: socket.socket, backend: Backend, box: BoxBackend, trusted: Trusted
) -> None:
    """Serve a listening Unix socket until cancelled."""

    async def on_stream(stream: TcpStream) -> None:
        caller = peer_credentials(stream.writer.get_extra_info("socket"))
        api = _Api(backend, box, trusted.role_of(caller))
        await serve_http1(stream, api.answer)

    await serve_connections(sock, on_stream, name="local api", max_connections=64)


_Call = Callable[["_Api", HttpRequest], Awaitable[msgspec.Struct]]


class _Api:
    """The calls of one caller."""

    def __init__(self, backend: Backend, box: BoxBackend, role: Role) -> None:
        self._backend = backend
        self._box = box
        self._role = role

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        if request.header("Origin") or request.header("Referer"):
            return _failure(403, "not-allowed", "Web pages may not call the agent.")
        entry = CALLS.get((request.method, request.path))
        if entry is None:
            return _failure(404, "no-such-call", "The agent has no such call.")
        call, allowed = entry
        if self._role not in allowed:
            return _failure(403, "not-allowed", "Only root may change this. Use sudo.")
        try:
            return json_response(200, msgspec.json.encode(await call(self, request)))
        except BackendError as error:
            return _failure(409, error.code, str(error))

    async def _status(self, _request: HttpRequest) -> msgspec.Struct:
        return self._backend.status()

    async def _prefs(self, _request: HttpRequest) -> msgspec.Struct:
        return self._backend.prefs()

    async def _edit_prefs(self, request: HttpRequest) -> msgspec.Struct:
        return await self._backend.edit_prefs(_body(request, dict[str, Any]))

    async def _up(self, request: HttpRequest) -> msgspec.Struct:
        return await self._backend.up(_body(request, UpRequest))

    async def _down(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._backend.down()

    async def _logout(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._backend.logout()

    async def _watch(self, request: HttpRequest) -> msgspec.Struct:
        after = int(_number(request, "after", 0))
        return await self._backend.watch(after, _timeout(request))

    async def _ping(self, request: HttpRequest) -> msgspec.Struct:
        return await self._backend.ping(request.query("target") or "", _timeout(request))

    async def _netcheck(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._backend.netcheck()

    async def _routes(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._backend.routes()

    async def _probe_routes(self, request: HttpRequest) -> msgspec.Struct:
        return await self._backend.probe_routes(request.query("target") or "")

    async def _doctor(self, request: HttpRequest) -> msgspec.Struct:
        return await self._backend.doctor(request.query("target") or "")

    async def _exit_options(self, _request: HttpRequest) -> msgspec.Struct:
        return self._backend.exit_options()

    async def _networks(self, _request: HttpRequest) -> msgspec.Struct:
        return self._box.networks()

    async def _traffic(self, _request: HttpRequest) -> msgspec.Struct:
        return self._box.traffic()

    async def _coordinator(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._box.coordinator()

    async def _be_coordinator(self, request: HttpRequest) -> msgspec.Struct:
        return await self._box.be_coordinator(_body(request, BeCoordinator))

    async def _stop_coordinator(self, _request: HttpRequest) -> msgspec.Struct:
        return await self._box.stop_coordinator()


_ALL: Final = frozenset(Role)
_OWNERS: Final = frozenset({Role.ROOT, Role.OPERATOR, Role.PAGE})

CALLS: Final[dict[tuple[str, str], tuple[_Call, frozenset[Role]]]] = {
    ("GET", f"{PREFIX}/status"): (_Api._status, _ALL),
    ("GET", f"{PREFIX}/prefs"): (_Api._prefs, _ALL),
    ("PATCH", f"{PREFIX}/prefs"): (_Api._edit_prefs, _OWNERS),
    ("POST", f"{PREFIX}/up"): (_Api._up, _OWNERS),
    ("POST", f"{PREFIX}/down"): (_Api._down, _OWNERS),
    ("POST", f"{PREFIX}/logout"): (_Api._logout, _OWNERS),
    ("GET", f"{PREFIX}/watch"): (_Api._watch, _ALL),
    ("POST", f"{PREFIX}/ping"): (_Api._ping, _OWNERS),
    ("POST", f"{PREFIX}/netcheck"): (_Api._netcheck, _OWNERS),
    ("GET", f"{PREFIX}/routes"): (_Api._routes, _ALL),
    ("POST", f"{PREFIX}/routes/probe"): (_Api._probe_routes, _OWNERS),
    ("POST", f"{PREFIX}/doctor"): (_Api._doctor, _OWNERS),
    ("GET", f"{PREFIX}/exit-nodes"): (_Api._exit_options, _ALL),
    ("GET", f"{PREFIX}/networks"): (_Api._networks, _ALL),
    ("GET", f"{PREFIX}/traffic"): (_Api._traffic, _ALL),
    ("GET", f"{PREFIX}/coordinator"): (_Api._coordinator, _ALL),
    ("POST", f"{PREFIX}/coordinator"): (_Api._be_coordinator, _OWNERS),
    ("DELETE", f"{PREFIX}/coordinator"): (_Api._stop_coordinator, _OWNERS),
}
"""What can be called, and by whom."""


def _failure(status: int, code: str, message: str) -> HttpResponse:
    return json_response(status, msgspec.json.encode(Failure(code=code, message=message)))


def _body(request: HttpRequest, kind: Any) -> Any:
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BackendError("usage", f"The request does not fit: {error}") from None


def _timeout(request: HttpRequest) -> float:
    return min(_number(request, "timeout", 5.0), MAX_WAIT_S)


def _number(request: HttpRequest, name: str, default: float) -> float:
    text = request.query(name)
    try:
        number = default if text is None else float(text)
    except ValueError:
        raise RequestRefusedError(400, f"{name} is not a number") from None
    if not 0 <= number < 1e15:
        raise RequestRefusedError(400, f"{name} is out of range")
    return number
