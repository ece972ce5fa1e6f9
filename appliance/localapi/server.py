"""The Local API from the agent's side: who may call, and what each call reaches.

Anyone on the machine may look; root and the operator may change. Requests from web pages
(``Origin`` or ``Referer``) are refused, so that no page can drive the agent through a proxy.
"""

import socket
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest, HttpResponse, serve_http1
from appliance.aio.listener import serve_connections
from appliance.aio.messages import json_response
from appliance.aio.stream import TcpStream
from appliance.host.unixsocket import Caller, peer_credentials
from appliance.localapi.client import PREFIX
from appliance.localapi.types import (
    DoctorReport,
    ExitOptions,
    Failure,
    NetcheckReport,
    PingReply,
    Prefs,
    Progress,
    Routes,
    Status,
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


async def serve_local_api(sock: socket.socket, backend: Backend, operator_uid: int | None) -> None:
    """Serve a listening Unix socket until cancelled."""

    async def on_stream(stream: TcpStream) -> None:
        caller = peer_credentials(stream.writer.get_extra_info("socket"))
        api = _Api(backend, may_change=_may_change(caller, operator_uid))
        await serve_http1(stream, api.answer)

    await serve_connections(sock, on_stream, name="local api", max_connections=64)


def _may_change(caller: Caller, operator_uid: int | None) -> bool:
    return caller.uid == 0 or (operator_uid is not None and caller.uid == operator_uid)


_Call = Callable[["_Api", HttpRequest], Awaitable[msgspec.Struct]]


class _Api:
    """The calls of one caller."""

    def __init__(self, backend: Backend, *, may_change: bool) -> None:
        self._backend = backend
        self._may_change = may_change

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        if request.header("Origin") or request.header("Referer"):
            return _failure(403, "not-allowed", "Web pages may not call the agent.")
        call = _CALLS.get((request.method, request.path))
        if call is None:
            return _failure(404, "no-such-call", "The agent has no such call.")
        if request.method != "GET" and not self._may_change:
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


_CALLS: dict[tuple[str, str], _Call] = {
    ("GET", f"{PREFIX}/status"): _Api._status,
    ("GET", f"{PREFIX}/prefs"): _Api._prefs,
    ("PATCH", f"{PREFIX}/prefs"): _Api._edit_prefs,
    ("POST", f"{PREFIX}/up"): _Api._up,
    ("POST", f"{PREFIX}/down"): _Api._down,
    ("POST", f"{PREFIX}/logout"): _Api._logout,
    ("GET", f"{PREFIX}/watch"): _Api._watch,
    ("POST", f"{PREFIX}/ping"): _Api._ping,
    ("POST", f"{PREFIX}/netcheck"): _Api._netcheck,
    ("GET", f"{PREFIX}/routes"): _Api._routes,
    ("POST", f"{PREFIX}/routes/probe"): _Api._probe_routes,
    ("POST", f"{PREFIX}/doctor"): _Api._doctor,
    ("GET", f"{PREFIX}/exit-nodes"): _Api._exit_options,
}


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
