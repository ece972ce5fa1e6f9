"""DNS over HTTP for those who leave through this exit node.

GET  /dns-query?dns=<query in base64url without padding>
POST /dns-query with the query as ``application/dns-message``
Both are answered with ``application/dns-message``.
Source: RFC 8484 section 4.1; tailscale ipn/ipnlocal/peerapi.go (handleDNSQuery, dohQuery) and
net/dns/resolver/tsdns.go (HandlePeerDNSQuery), 2026-08. Pure.
"""

import base64
import binascii
from typing import Final

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest, HttpResponse
from appliance.protocol import dns
from appliance.protocol.errors import ProtocolError

PATH: Final = "/dns-query"
CONTENT_TYPE: Final = "application/dns-message"

MAX_QUERY: Final = 4096
"""A question with its options stays below 512."""


def parse_request(request: HttpRequest) -> dns.Query:
    """Read the query out of a request, or refuse it."""
    data = _data_of(request)
    if len(data) > MAX_QUERY:
        raise RequestRefusedError(413, "the DNS query is too long")
    try:
        return dns.parse_query(data)
    except ProtocolError as error:
        raise RequestRefusedError(400, str(error)) from None


def render_reply(reply: bytes) -> HttpResponse:
    """Wrap the answer."""
    return HttpResponse(200, (("Content-Type", CONTENT_TYPE),), reply)


def is_refused(name: str, refused: tuple[str, ...]) -> bool:
    """Whether a name (in lower case) is among those that are not looked up for others."""
    return any(
        name.endswith(one) or name == one[1:] if one.startswith(".") else name == one
        for one in (text.lower().rstrip(".") for text in refused)
        if one
    )


def _data_of(request: HttpRequest) -> bytes:
    if request.method == "POST":
        if request.header("Content-Type") != CONTENT_TYPE:
            raise RequestRefusedError(415, f"send {CONTENT_TYPE}")
        return request.body
    if request.method != "GET":
        raise RequestRefusedError(405, "use GET or POST")
    text = request.query("dns") or ""
    if not text:
        raise RequestRefusedError(400, "the parameter `dns` is missing")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise RequestRefusedError(400, "the parameter `dns` is not base64url") from None
