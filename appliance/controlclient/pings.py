"""Questions that the coordinator asks the node over the map stream.

``PingRequest`` without a type wants ``HEAD URL``; type ``c2n`` carries a raw HTTP/1.1 request
whose raw answer is posted to the URL. Both go over the Noise connection only. We answer
``/echo``; everything else is 400. Other types (path tests) are not answered.

Source: tailscale control/controlclient/direct.go (answerPing, answerC2NPing), 2026-08.
"""

import binascii
from base64 import b64decode
from typing import Final
from urllib.parse import urlsplit

import h11

from appliance.aio.messages import HttpRequest
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import PingRequest

# A c2n request is a line and some headers; ``/echo`` is for tests.
MAX_PAYLOAD: Final = 64 * 1024


def plan_answer(ping: PingRequest) -> HttpRequest | None:
    """Say which request over Noise answers a ping; None when none does.

    A ``ProtocolError`` when the ping makes no sense.
    """
    url = _split(ping.url)
    if ping.types == "" and ping.url_is_noise:
        return HttpRequest("HEAD", url)
    if ping.types == "c2n":
        return HttpRequest("POST", url, body=_answer_c2n(_payload(ping)))
    return None


def _split(url: str) -> str:
    """Return path and query; the host does not count over Noise."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ProtocolError("a ping with a URL that is none") from None
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    if not target.startswith("/") or not target.isascii() or not target.isprintable():
        raise ProtocolError("a ping with a URL that is none")
    return target


def _payload(ping: PingRequest) -> bytes:
    try:
        payload = b64decode(ping.payload or "", validate=True)
    except (binascii.Error, ValueError):
        raise ProtocolError("a ping whose payload is not base64") from None
    if len(payload) > MAX_PAYLOAD:
        raise ProtocolError("a ping whose payload is too long")
    return payload


def _answer_c2n(payload: bytes) -> bytes:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(payload)
    connection.receive_data(b"")
    try:
        request = connection.next_event()
        if not isinstance(request, h11.Request):
            raise ProtocolError("a c2n ping without a request")
        body = bytearray()
        while isinstance(event := connection.next_event(), h11.Data):
            body += event.data
    except h11.RemoteProtocolError as error:
        raise ProtocolError(f"a c2n ping that is not HTTP: {error}") from None
    if request.target.partition(b"?")[0] == b"/echo":
        return _encode_answer("200 OK", bytes(body))
    return _encode_answer("400 Bad Request", b"unknown c2n path\n")


def _encode_answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
