"""The admin API from the coordinator's side: who may call, and what each call reaches.

Root, the user that the coordinator runs as, and members of one group may call; the socket's mode
keeps everybody else out, and the kernel's word on who called is checked again. Requests that a web
page could make (``Origin`` or ``Referer``) are refused.
"""

import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import unquote

import msgspec

from appliance.adminapi.client import PREFIX
from appliance.adminapi.types import (
    ApproveNode,
    AskNode,
    CreatePreAuthKey,
    CreateUser,
    Done,
    EditNode,
    ExpireNode,
    Failure,
    Message,
    NodeInfo,
    NodeList,
    NodeReply,
    PendingList,
    PingAnswer,
    PingNode,
    PolicyChange,
    PolicyDraft,
    PolicyInfo,
    PolicyReport,
    PreAuthKeyInfo,
    PreAuthKeyList,
    Prefixes,
    PublishedAddress,
    RenameUser,
    Request,
    RevertPolicy,
    RouteList,
    ServerStatus,
    UserInfo,
    UserList,
)
from appliance.aio.http1 import Http1Limits, HttpRequest, HttpResponse, serve_http1
from appliance.aio.listener import serve_connections
from appliance.aio.messages import json_response
from appliance.aio.stream import TcpStream
from appliance.host.unixsocket import Caller, peer_credentials

MAX_CALLERS: Final = 64
"""Admins and scripts at once."""

LIMITS: Final = Http1Limits(body_bytes=4 * 1024 * 1024)
"""A policy of 1 MiB as JSON, with every second character escaped; only admins get this far."""

R = TypeVar("R", bound=Request)


Explain = Callable[[Exception], Failure | None]
"""Says what a caller is told about a backend's error; ``None``: it is our own fault."""


class Backend(Protocol):
    """What the coordinator offers to admins; a method may raise what ``Explain`` explains.

    A ``node`` is an ID or a name, a ``user`` an ID or a name.
    """

    async def status(self) -> ServerStatus:
        """Tell how the coordinator is doing."""

    async def users(self) -> UserList:
        """List users."""

    async def create_user(self, request: CreateUser) -> UserInfo:
        """Make a user."""

    async def rename_user(self, user: str, request: RenameUser) -> UserInfo:
        """Give a user another name."""

    async def delete_user(self, user: str) -> Done:
        """Delete a user who owns no nodes."""

    async def preauth_keys(self) -> PreAuthKeyList:
        """List pre-auth keys."""

    async def create_preauth_key(self, request: CreatePreAuthKey) -> PreAuthKeyInfo:
        """Make a pre-auth key and show its text."""

    async def revoke_preauth_key(self, key: str) -> PreAuthKeyInfo:
        """Make a key useless."""

    async def nodes(self) -> NodeList:
        """List nodes."""

    async def node(self, node: str) -> NodeInfo:
        """Show one node."""

    async def edit_node(self, node: str, request: EditNode) -> NodeInfo:
        """Rename or tag a node."""

    async def expire_node(self, node: str, request: ExpireNode) -> NodeInfo:
        """Say when a node must log in again."""

    async def delete_node(self, node: str) -> Done:
        """Delete a node."""

    async def pending(self) -> PendingList:
        """List the devices that wait."""

    async def approve_pending(self, entry: str, request: ApproveNode) -> NodeInfo:
        """Admit a device that waits."""

    async def reject_pending(self, entry: str) -> Done:
        """Turn a device away."""

    async def routes(self) -> RouteList:
        """List routes."""

    async def approve_routes(self, node: str, request: Prefixes) -> RouteList:
        """Let a node carry routes."""

    async def revoke_routes(self, node: str, request: Prefixes) -> RouteList:
        """No longer let a node carry routes."""

    async def publish(self, node: str, request: PublishedAddress) -> NodeInfo:
        """Show a LAN host among its router's addresses."""

    async def unpublish(self, node: str, request: PublishedAddress) -> NodeInfo:
        """No longer show a LAN host."""

    async def policy(self) -> PolicyInfo:
        """Show the policy in force."""

    async def check_policy(self, request: PolicyDraft) -> PolicyReport:
        """Try a policy; nothing changes."""

    async def set_policy(self, request: PolicyDraft) -> PolicyChange:
        """Put a policy in force."""

    async def revert_policy(self, request: RevertPolicy) -> PolicyChange:
        """Go back to the policy before."""

    async def ping(self, node: str, request: PingNode) -> PingAnswer:
        """Let a node ping an address."""

    async def ask_node(self, node: str, request: AskNode) -> NodeReply:
        """Let a node serve an HTTP request."""


async def serve_admin_api(
    sock: socket.socket,
    backend: Backend,
    may_call: Callable[[Caller], bool],
    explain: Explain,
) -> None:
    """Serve a listening Unix socket until cancelled."""

    async def on_stream(stream: TcpStream) -> None:
        caller = peer_credentials(stream.writer.get_extra_info("socket"))
        api = AdminApi(backend, explain, allowed=may_call(caller))
        await serve_http1(stream, api.answer, LIMITS)

    await serve_connections(sock, on_stream, name="admin api", max_connections=MAX_CALLERS)


class AdminApi:
    """The calls of one caller."""

    def __init__(self, backend: Backend, explain: Explain, *, allowed: bool) -> None:
        self._backend = backend
        self._explain = explain
        self._allowed = allowed

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Serve one request."""
        if request.header("Origin") or request.header("Referer"):
            return _failure(403, "not-allowed", "Web pages may not call the coordinator.")
        if not self._allowed:
            return _failure(
                403, "not-allowed", "Only root and the admin_group may administer. Use sudo."
            )
        for call in _CALLS:
            match = call.pattern.fullmatch(request.path)
            if match and call.method == request.method:
                return await self._run(call, [unquote(part) for part in match.groups()], request)
        return _failure(404, "no-such-call", "The coordinator has no such call.")

    async def _run(self, call: "_Call", names: list[str], request: HttpRequest) -> HttpResponse:
        arguments: list[Any] = [*names]
        if call.body is not None:
            try:
                arguments.append(msgspec.json.decode(request.body, type=call.body))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                return _failure(400, "invalid", f"The request does not fit: {error}.")
        try:
            answer: Message = await getattr(self._backend, call.name)(*arguments)
        except Exception as error:
            failure = self._explain(error)
            if failure is None:
                raise
            return json_response(409, msgspec.json.encode(failure))
        return json_response(200, msgspec.json.encode(answer))


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    pattern: re.Pattern[str]
    name: str
    """The backend's method: path parts first, then the body."""
    body: type[Request] | None


def _call(
    method: str, path: str, handler: Callable[..., Awaitable[Message]], body: type[R] | None = None
) -> _Call:
    pattern = re.escape(PREFIX) + path.replace("*", "([^/]+)")
    return _Call(method, re.compile(pattern), handler.__name__, body)


_CALLS: Final = (
    _call("GET", "/status", Backend.status),
    _call("GET", "/users", Backend.users),
    _call("POST", "/users", Backend.create_user, CreateUser),
    _call("PATCH", "/users/*", Backend.rename_user, RenameUser),
    _call("DELETE", "/users/*", Backend.delete_user),
    _call("GET", "/preauthkeys", Backend.preauth_keys),
    _call("POST", "/preauthkeys", Backend.create_preauth_key, CreatePreAuthKey),
    _call("POST", "/preauthkeys/*/revoke", Backend.revoke_preauth_key),
    _call("GET", "/nodes", Backend.nodes),
    _call("GET", "/nodes/*", Backend.node),
    _call("PATCH", "/nodes/*", Backend.edit_node, EditNode),
    _call("DELETE", "/nodes/*", Backend.delete_node),
    _call("POST", "/nodes/*/expire", Backend.expire_node, ExpireNode),
    _call("GET", "/pending", Backend.pending),
    _call("POST", "/pending/*/approve", Backend.approve_pending, ApproveNode),
    _call("POST", "/pending/*/reject", Backend.reject_pending),
    _call("GET", "/routes", Backend.routes),
    _call("POST", "/nodes/*/routes/approve", Backend.approve_routes, Prefixes),
    _call("POST", "/nodes/*/routes/revoke", Backend.revoke_routes, Prefixes),
    _call("POST", "/nodes/*/publish", Backend.publish, PublishedAddress),
    _call("POST", "/nodes/*/unpublish", Backend.unpublish, PublishedAddress),
    _call("GET", "/policy", Backend.policy),
    _call("POST", "/policy", Backend.set_policy, PolicyDraft),
    _call("POST", "/policy/check", Backend.check_policy, PolicyDraft),
    _call("POST", "/policy/revert", Backend.revert_policy, RevertPolicy),
    _call("POST", "/nodes/*/ping", Backend.ping, PingNode),
    _call("POST", "/nodes/*/c2n", Backend.ask_node, AskNode),
)


def _failure(status: int, code: str, message: str) -> HttpResponse:
    return json_response(status, msgspec.json.encode(Failure(code=code, message=message)))
