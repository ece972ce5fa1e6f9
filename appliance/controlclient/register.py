"""Registration: what to ask, and what the coordinator's verdict means. Pure.

POST /machine/register. The verdict is read in the reference's order: error, expired node key,
login page, admitted.

Source: tailscale control/controlclient/direct.go (doLogin), 2026-08.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from appliance.aio.messages import HttpResponse
from appliance.controlclient.config import ControlUrl, NodeReport
from appliance.controlclient.dial import printable
from appliance.controlclient.errors import (
    ProtocolBrokenError,
    RefusedError,
    UnreachableError,
)
from appliance.exit_status import ExitStatus
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import (
    CAPABILITY_VERSION,
    RegisterAuth,
    RegisterRequest,
    RegisterResponse,
    decode,
)

PATH: Final = "/machine/register"
# Any time in the past; stock clients send this one.
_LONG_AGO: Final = datetime.fromtimestamp(123, UTC)
_MAX_URL: Final = 2048

# What coordinators say, ours and headscale, in this order: "expired" must not hide "revoked".
_REASONS: Final = (
    ("another machine", ExitStatus.NODE_KEY_TAKEN),
    ("in use by", ExitStatus.NODE_KEY_TAKEN),
    ("revoked", ExitStatus.KEY_REVOKED),
    ("expired", ExitStatus.KEY_EXPIRED),
    ("already used", ExitStatus.KEY_USED),
    ("been used", ExitStatus.KEY_USED),
    ("not known", ExitStatus.KEY_WRONG),
    ("not found", ExitStatus.KEY_WRONG),
    ("invalid", ExitStatus.KEY_WRONG),
    ("unknown", ExitStatus.KEY_WRONG),
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The node key is a node's now; ``login_name`` is its owner."""

    login_name: str


@dataclass(frozen=True, slots=True)
class LoginNeeded:
    """A person must open this page; ask again with it as followup."""

    auth_url: str


@dataclass(frozen=True, slots=True)
class NodeKeyExpired:
    """Another node key is wanted."""


Verdict = Admitted | LoginNeeded | NodeKeyExpired


def plan_registration(
    report: NodeReport,
    node_key: NodePublic,
    old_node_key: NodePublic | None = None,
    auth_key: str = "",
    followup: str = "",
) -> RegisterRequest:
    """Ask for a node key to be admitted."""
    return RegisterRequest(
        version=CAPABILITY_VERSION,
        node_key=node_key,
        old_node_key=old_node_key or NodePublic.zero(),
        auth=RegisterAuth(auth_key=auth_key) if auth_key else None,
        followup=followup,
        hostinfo=report.full_hostinfo,
    )


def plan_logout(node_key: NodePublic) -> RegisterRequest:
    """Give a node key up."""
    return RegisterRequest(version=CAPABILITY_VERSION, node_key=node_key, expiry=_LONG_AGO)


def read_verdict(response: HttpResponse, url: ControlUrl) -> Verdict:
    """Say what the coordinator decided; a refusal is a ``RefusedError`` with its reason."""
    if response.status == 429 or response.status >= 500:
        raise UnreachableError(f"The coordinator {_said(response)}. Trying again.")
    if response.status != 200:
        raise ProtocolBrokenError(f"The coordinator {_said(response)}.")
    try:
        verdict = decode(RegisterResponse, response.body)
    except ProtocolError as error:
        raise ProtocolBrokenError(f"The coordinator's answer cannot be read: {error}.") from None
    if verdict.error:
        raise _refusal(verdict.error)
    if verdict.node_key_expired:
        return NodeKeyExpired()
    if verdict.auth_url:
        return LoginNeeded(_check_auth_url(verdict.auth_url, url))
    return Admitted(printable(verdict.login.login_name) if verdict.login else "")


def _refusal(reason: str) -> RefusedError:
    lower = reason.lower()
    status = next((found for word, found in _REASONS if word in lower), ExitStatus.KEY_REFUSED)
    text = printable(reason.strip())
    end = "" if text.endswith((".", "!", "?")) else "."
    return RefusedError(f"The coordinator refused this node: {text}{end}", status)


def _check_auth_url(text: str, url: ControlUrl) -> str:
    """Pass a login page on only when a browser may open it safely."""
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = ""
    allowed = scheme == "https" or (scheme == "http" and not url.is_tls)
    if not allowed or not text.isprintable() or len(text) > _MAX_URL:
        raise ProtocolBrokenError(
            f"The coordinator names a login page that is not safe to open: {printable(text)}"
        )
    return text


def _said(response: HttpResponse) -> str:
    text = response.body[:200].decode("utf-8", "replace").strip()
    return f"answered {response.status}: {printable(text)}"
