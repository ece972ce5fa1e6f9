"""The plain HTTP side: the key, the upgrade to Noise, relay admission, and pages for people."""

import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http1 import HttpRequest, HttpResponse, Upgrade
from appliance.aio.messages import json_response, text_response
from appliance.aio.noise_stream import NoiseStream, accept_noise
from appliance.coordinator.outcasts import is_admitted
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.state import State
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePrivate, MachinePublic, NodePublic
from appliance.protocol.tailcfg import DerpMap, decode, encode
from appliance.protocol.tailcfg.codec import Message
from appliance.version import VERSION

Answer = HttpResponse | Upgrade

_NOISE_CAP: Final = 39
"""Older clients would need another protocol, which nobody speaks any more."""


class RelaySite(Protocol):
    """An embedded relay's own paths."""

    def answer(self, request: HttpRequest) -> Answer | None:
        """Answer a request for one of them; ``None`` for any other path."""


class ServerKeys(Message, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """The reply of ``/key``."""

    legacy_public_key: MachinePublic = MachinePublic(bytes(32))
    public_key: MachinePublic


class AdmitRequest(Message, frozen=True, kw_only=True):
    """A relay asks whether a node may log in."""

    node_public: NodePublic
    source: str = ""


class AdmitResponse(Message, frozen=True, kw_only=True, omit_defaults=False):
    """The answer to a relay."""

    allow: bool


@dataclass(frozen=True, slots=True)
class Front:
    """Answers what comes in over HTTP/1.1."""

    private_key: MachinePrivate
    state: State
    registrar: Registrar
    serve_noise: Callable[[NoiseStream], Awaitable[None]]
    relay: RelaySite | None = None

    async def handle(self, request: HttpRequest) -> Answer:
        """Answer one request."""
        if self.relay is not None:
            answer = self.relay.answer(request)
            if answer is not None:
                return answer
        path = request.path
        if path.startswith("/register/") and request.method in ("GET", "HEAD"):
            return self._register_page(path.removeprefix("/register/"))
        handler = _HANDLERS.get(path)
        if handler is None:
            return text_response(404, "no such page")
        methods, answer_with = handler
        if request.method not in methods:
            return text_response(405, f"this path wants {' or '.join(methods)}")
        return answer_with(self, request)

    def knows(self, key: NodePublic) -> bool:
        """Whether this is the key of a node that has not expired."""
        return is_admitted(self.state.snapshot, key)

    def _key(self, request: HttpRequest) -> HttpResponse:
        version = request.query("v") or ""
        if not version.isascii() or not version.isdigit():
            return text_response(400, "say which capability version: /key?v=131")
        if int(version[:9]) < _NOISE_CAP:
            return HttpResponse(200)
        return json_response(200, encode(ServerKeys(public_key=self.private_key.public())))

    def _ts2021(self, request: HttpRequest) -> Upgrade:
        return accept_noise(request, self.private_key, self.serve_noise)

    def _verify(self, request: HttpRequest) -> HttpResponse:
        try:
            asked = decode(AdmitRequest, request.body)
        except ProtocolError as error:
            raise RequestRefusedError(400, str(error)) from None
        return json_response(200, encode(AdmitResponse(allow=self.knows(asked.node_public))))

    def _derp_map(self, _request: HttpRequest) -> HttpResponse:
        derp_map: DerpMap = self.state.view.tailnet.derp_map
        return json_response(200, encode(derp_map))

    def _health(self, _request: HttpRequest) -> HttpResponse:
        return json_response(200, b'{"status":"pass"}')

    def _version(self, _request: HttpRequest) -> HttpResponse:
        return json_response(200, msgspec.json.encode({"version": VERSION}))

    def _robots(self, _request: HttpRequest) -> HttpResponse:
        return text_response(200, "User-agent: *\nDisallow: /")

    def _no_content(self, _request: HttpRequest) -> HttpResponse:
        return HttpResponse(204)

    def _bootstrap_dns(self, _request: HttpRequest) -> HttpResponse:
        return json_response(200, b"{}")

    def _home(self, _request: HttpRequest) -> HttpResponse:
        return _page(
            "Latchkey coordinator",
            "<p>This is the coordinator of a private mesh. To add a device, run on it:</p>"
            "<pre>latchkey up --login-server THIS-ADDRESS</pre>"
            "<p>and let an admin approve it.</p>",
        )

    def _register_page(self, entry_id: str) -> HttpResponse:
        entry = self.registrar.find(entry_id)
        if entry is None:
            return _page(
                "Nothing waits here",
                "<p>This link is used up or older than a quarter of an hour. "
                "Log in on the device again to get a new one.</p>",
                status=404,
            )
        name = html.escape(entry.hostinfo.hostname) or "this device"
        os = html.escape(entry.hostinfo.os)
        return _page(
            "A device asks to join",
            f"<p><b>{name}</b> ({os or 'unknown system'}) asks to join this mesh. "
            "Let it in on the setup page of the coordinator's box, under Devices, where its "
            f"number is <b>{entry.id}</b>; or on the coordinator with:</p>"
            f"<pre>latchkey admin nodes register {entry.id} --user NAME</pre>"
            "<p>The device notices by itself. If you do not know it, do nothing.</p>",
        )


_GET: Final = ("GET", "HEAD")
_Handler = Callable[[Front, HttpRequest], Answer]
_HANDLERS: Final[dict[str, tuple[tuple[str, ...], _Handler]]] = {
    "/": (_GET, Front._home),
    "/key": (_GET, Front._key),
    "/ts2021": (("POST",), Front._ts2021),
    "/verify": (("POST",), Front._verify),
    "/derpmap/default": (_GET, Front._derp_map),
    "/health": (_GET, Front._health),
    "/version": (_GET, Front._version),
    "/robots.txt": (_GET, Front._robots),
    "/generate_204": (_GET, Front._no_content),
    "/bootstrap-dns": (_GET, Front._bootstrap_dns),
}


def _page(title: str, content: str, status: int = 200) -> HttpResponse:
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{title}</title><style>body{{font:1rem system-ui;max-width:40rem;margin:3rem auto;"
        "padding:0 1rem}pre{background:#eee;padding:1rem;overflow:auto}</style>"
        f"<h1>{title}</h1>{content}"
    )
    headers = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
        ("X-Content-Type-Options", "nosniff"),
    )
    return HttpResponse(status, headers, text.encode())
