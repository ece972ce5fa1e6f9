"""The relay's few HTTP paths.

    /derp                               upgrade to DERP (426 otherwise)
    /derp/probe, /derp/latency-check    200, for nodes that measure without UDP
    /generate_204                       204, tells a captive portal from the internet
    /robots.txt, /                      for people and crawlers

Source: tailscale derp/derpserver/handler.go and cmd/derper/derper.go, 2026-08.
"""

import re
from collections.abc import Callable
from typing import Final

from appliance.aio.http1 import Upgrade as TakeOver
from appliance.aio.messages import HttpRequest, HttpResponse, text_response
from appliance.aio.stream import Stream, TcpStream
from appliance.protocol.derp.upgrade import PATH, Upgrade, plan_upgrade
from appliance.relay.server import RelayServer

_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_NO_CACHE: Final = "no-cache, no-store, must-revalidate, no-transform, max-age=0"
_HOME: Final = (
    "This is a Latchkey relay. It carries encrypted packets between the nodes of a private network"
    " and cannot read them."
)

_Answer = HttpResponse | TakeOver


class RelaySite:
    """Answers the requests that concern the relay."""

    def __init__(self, relay: RelayServer) -> None:
        self._relay = relay

    async def handle(self, request: HttpRequest) -> _Answer:
        """Answer any request: the handler of a front that is nothing but a relay."""
        return self.answer(request) or _page(request)

    def answer(self, request: HttpRequest) -> _Answer | None:
        """Answer a request for one of the relay's own paths; None for any other path.

        The front that embeds a relay asks here before, or after, its own paths.
        """
        if request.path == PATH:
            return self._derp(request)
        return answer_probe(request)

    def _derp(self, request: HttpRequest) -> _Answer:
        plan = plan_upgrade(request.headers)
        if request.method != "GET" or plan is Upgrade.REFUSE:
            return text_response(426, "DERP requires connection upgrade")

        async def take_over(stream: Stream, leftover: bytes) -> None:
            if not isinstance(stream, TcpStream):
                raise TypeError("the relay needs the TCP stream itself")
            await self._relay.serve(stream, plan, leftover)

        return TakeOver(take_over)


def answer_probe(request: HttpRequest) -> HttpResponse | None:
    """Answer the paths that need no relay behind them; they are served on port 80 too."""
    answers: dict[str, Callable[[HttpRequest], HttpResponse]] = {
        "/derp/probe": _probe,
        "/derp/latency-check": _probe,
        "/generate_204": _no_content,
    }
    answer = answers.get(request.path)
    return answer(request) if answer else None


async def handle_plain(request: HttpRequest) -> HttpResponse:
    """Answer on the port without TLS, where nothing is upgraded."""
    return answer_probe(request) or _page(request)


def _probe(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return text_response(405, "bogus probe method")
    return HttpResponse(200, (("Access-Control-Allow-Origin", "*"),))


def _no_content(request: HttpRequest) -> HttpResponse:
    headers: tuple[tuple[str, str], ...] = (("Cache-Control", _NO_CACHE),)
    challenge = request.header("X-Tailscale-Challenge") or ""
    if _CHALLENGE.fullmatch(challenge):
        headers = (("X-Tailscale-Response", f"response {challenge}"), *headers)
    return HttpResponse(204, headers)


def _page(request: HttpRequest) -> HttpResponse:
    if request.path == "/robots.txt":
        return text_response(200, "User-agent: *\nDisallow: /")
    if request.path == "/":
        return text_response(200, _HOME)
    return text_response(404, "no such page")
