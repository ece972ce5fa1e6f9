"""The admin API from a front end's side: synchronous, one connection a call."""

from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from appliance.adminapi.errors import (
    AdminApiError,
    CoordinatorNotRunningError,
    NotAllowedError,
)
from appliance.adminapi.types import (
    ApproveNode,
    AskNode,
    CreatePreAuthKey,
    CreateUser,
    Done,
    EditNode,
    ExpireNode,
    Failure,
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
from appliance.aio.unixclient import BrokenAnswerError, call_unix

T = TypeVar("T")

DEFAULT_SOCKET = Path("/run/latchkey-coordinator/admin.sock")
PREFIX = "/adminapi/v0"


class AdminClient:
    """Talks to the coordinator behind one socket; every method raises ``AdminApiError``.

    A ``node`` is an ID or a name, a ``user`` an ID or a name.
    """

    def __init__(self, path: Path = DEFAULT_SOCKET) -> None:
        self._path = path

    def status(self) -> ServerStatus:
        """Ask how the coordinator is doing."""
        return self._call("GET", "/status", ServerStatus)

    def users(self) -> UserList:
        """List users."""
        return self._call("GET", "/users", UserList)

    def create_user(self, request: CreateUser) -> UserInfo:
        """Make a user."""
        return self._call("POST", "/users", UserInfo, request)

    def rename_user(self, user: str, name: str) -> UserInfo:
        """Give a user another name."""
        return self._call("PATCH", f"/users/{_part(user)}", UserInfo, RenameUser(name=name))

    def delete_user(self, user: str) -> Done:
        """Delete a user who owns no nodes, with their pre-auth keys."""
        return self._call("DELETE", f"/users/{_part(user)}", Done)

    def preauth_keys(self) -> PreAuthKeyList:
        """List pre-auth keys."""
        return self._call("GET", "/preauthkeys", PreAuthKeyList)

    def create_preauth_key(self, request: CreatePreAuthKey) -> PreAuthKeyInfo:
        """Make a pre-auth key; the answer has its text, this once."""
        return self._call("POST", "/preauthkeys", PreAuthKeyInfo, request)

    def revoke_preauth_key(self, key: str) -> PreAuthKeyInfo:
        """Make a key useless; nodes that it admitted stay."""
        return self._call("POST", f"/preauthkeys/{_part(key)}/revoke", PreAuthKeyInfo)

    def nodes(self) -> NodeList:
        """List nodes."""
        return self._call("GET", "/nodes", NodeList)

    def node(self, node: str) -> NodeInfo:
        """Show one node."""
        return self._call("GET", f"/nodes/{_part(node)}", NodeInfo)

    def edit_node(self, node: str, request: EditNode) -> NodeInfo:
        """Rename or tag a node."""
        return self._call("PATCH", f"/nodes/{_part(node)}", NodeInfo, request)

    def expire_node(self, node: str, request: ExpireNode) -> NodeInfo:
        """Say when a node must log in again."""
        return self._call("POST", f"/nodes/{_part(node)}/expire", NodeInfo, request)

    def delete_node(self, node: str) -> Done:
        """Delete a node; it is logged out at once."""
        return self._call("DELETE", f"/nodes/{_part(node)}", Done)

    def pending(self) -> PendingList:
        """List the devices that wait for an admin."""
        return self._call("GET", "/pending", PendingList)

    def approve_pending(self, entry: str, request: ApproveNode) -> NodeInfo:
        """Admit a device that waits."""
        return self._call("POST", f"/pending/{_part(entry)}/approve", NodeInfo, request)

    def reject_pending(self, entry: str) -> Done:
        """Turn a device that waits away."""
        return self._call("POST", f"/pending/{_part(entry)}/reject", Done)

    def routes(self) -> RouteList:
        """List the routes of all nodes."""
        return self._call("GET", "/routes", RouteList)

    def approve_routes(self, node: str, prefixes: tuple[str, ...]) -> RouteList:
        """Let a node carry routes."""
        body = Prefixes(prefixes=prefixes)
        return self._call("POST", f"/nodes/{_part(node)}/routes/approve", RouteList, body, 20)

    def revoke_routes(self, node: str, prefixes: tuple[str, ...]) -> RouteList:
        """No longer let a node carry routes."""
        body = Prefixes(prefixes=prefixes)
        return self._call("POST", f"/nodes/{_part(node)}/routes/revoke", RouteList, body)

    def publish(self, node: str, address: str) -> NodeInfo:
        """Show a LAN host among its router's addresses."""
        body = PublishedAddress(address=address)
        return self._call("POST", f"/nodes/{_part(node)}/publish", NodeInfo, body)

    def unpublish(self, node: str, address: str) -> NodeInfo:
        """No longer show a LAN host."""
        body = PublishedAddress(address=address)
        return self._call("POST", f"/nodes/{_part(node)}/unpublish", NodeInfo, body)

    def policy(self) -> PolicyInfo:
        """Show the policy in force."""
        return self._call("GET", "/policy", PolicyInfo)

    def check_policy(self, text: str) -> PolicyReport:
        """Try a policy; nothing changes."""
        return self._call("POST", "/policy/check", PolicyReport, PolicyDraft(text=text), 30)

    def set_policy(self, text: str, *, confirmed: bool = False) -> PolicyChange:
        """Put a policy in force; code ``locks-out``: it must be confirmed."""
        body = PolicyDraft(text=text, confirmed=confirmed)
        return self._call("POST", "/policy", PolicyChange, body, 30)

    def revert_policy(self, *, confirmed: bool = False) -> PolicyChange:
        """Go back to the policy before the present one."""
        body = RevertPolicy(confirmed=confirmed)
        return self._call("POST", "/policy/revert", PolicyChange, body, 30)

    def ping(self, node: str, request: PingNode) -> PingAnswer:
        """Let a node ping an address."""
        wait_s = request.timeout_s + 10
        return self._call("POST", f"/nodes/{_part(node)}/ping", PingAnswer, request, wait_s)

    def ask_node(self, node: str, request: AskNode) -> NodeReply:
        """Let a node serve an HTTP request."""
        wait_s = request.timeout_s + 10
        return self._call("POST", f"/nodes/{_part(node)}/c2n", NodeReply, request, wait_s)

    def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        body: Request | None = None,
        timeout_s: float = 10.0,
    ) -> T:
        data = None if body is None else msgspec.json.encode(body)
        try:
            status, reply = call_unix(self._path, method, PREFIX + path, data, timeout_s)
        except (FileNotFoundError, ConnectionRefusedError):
            raise CoordinatorNotRunningError(
                f"No coordinator listens on {self._path}. Start it with "
                "`systemctl start latchkey-coordinator`, or name its admin_socket with --socket."
            ) from None
        except PermissionError:
            raise NotAllowedError(
                f"You may not open {self._path}. Use sudo, or join the admin_group."
            ) from None
        except TimeoutError:
            raise AdminApiError("The coordinator did not answer in time.", "timeout") from None
        except BrokenAnswerError as error:
            raise AdminApiError(f"The coordinator broke off: {error}") from None
        return _read(status, reply, kind)


def _part(text: str) -> str:
    return quote(text, safe="")


def _read(status: int, reply: bytes, kind: type[T]) -> T:
    try:
        if status == 200:
            return msgspec.json.decode(reply, type=kind)
        failure = msgspec.json.decode(reply, type=Failure)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise AdminApiError(
            "The coordinator's answer cannot be read. Is it of the same version?"
        ) from None
    if status == 403:
        raise NotAllowedError(failure.message)
    raise AdminApiError(failure.message, failure.code)
