"""Pages that change by themselves: server-sent events with the parts that are new.

    event: part
    data: {"id": "routes", "html": "..."}

A part is rendered by the same template as the page's own, so without a script, or when there is no
room for one more stream, the page is merely not fresh. One stream a session: a later one ends the
earlier one, in whichever worker it is. Source: HTML standard, "Server-sent events".
"""

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, current_app, render_template, stream_with_context
from flask.blueprints import BlueprintSetupState

from appliance.adminapi.errors import AdminApiError
from appliance.localapi.errors import LocalApiError
from webui import sessions
from webui.failures import explain
from webui.guard import session_token
from webui.services import services

MAX_STREAMS: Final = 3
"""Each holds a thread of its worker as long as it lasts; pages need the others."""
TICK_S: Final = 2.0
LIFETIME_S: Final = 120.0
"""Then the browser asks again by itself: a worker that is to end waits no longer than this."""
RETRY_MS: Final = 3000
EXTENSION: Final = "latchkey-live"

TROUBLE: Final = "trouble"
"""The element that every page with a stream has for bad news."""

Parts = Mapping[str, str]
"""HTML by the id of its element."""


class Streams:
    """The streams of one worker, and which of all workers' is the newest of each session."""

    def __init__(self, directory: Path, limit: int = MAX_STREAMS) -> None:
        self._directory = directory
        self._room = threading.BoundedSemaphore(limit)

    def begin(self, token: str) -> "Stream | None":
        """Begin the one stream of a session; None when there is no room."""
        if not self._room.acquire(blocking=False):
            return None
        name = hashlib.sha256(token.encode()).hexdigest()[:16]
        stream = Stream(self._directory / f"live-{name}", secrets.token_hex(8), self._room)
        with suppress(OSError):  # without the mark it is the newest all the same
            stream.mark.write_text(stream.number, encoding="ascii")
        return stream


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream, which ends when a newer one of its session begins."""

    mark: Path
    number: str
    _room: threading.BoundedSemaphore

    def is_newest(self) -> bool:
        """Whether no other has begun since."""
        try:
            return self.mark.read_text(encoding="ascii") == self.number
        except OSError:
            return True

    def end(self) -> None:
        """Make room."""
        if self.is_newest():
            self.mark.unlink(missing_ok=True)
        self._room.release()


def install(blueprint: Blueprint) -> None:
    """Give the application its streams when the blueprint is registered."""
    blueprint.record(_prepare)


def respond(look: Callable[[], Parts]) -> Response:
    """Answer with a stream of what ``look`` finds changed, or with 503 when there is no room."""
    streams: Streams = current_app.extensions[EXTENSION]
    own = services()
    token = session_token()
    stream = streams.begin(token)
    if stream is None:
        return Response(status=503, headers={"Retry-After": "10"})

    def goes_on() -> bool:
        return stream.is_newest() and sessions.check(own.store, token, own.now(), own.session_s)

    body = stream_with_context(events(lambda: _look(look), goes_on))
    response = Response(body, mimetype="text/event-stream")
    response.call_on_close(stream.end)
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _look(look: Callable[[], Parts]) -> Parts:
    """Look; while the agent or the coordinator is away, say so above what was seen last."""
    try:
        return {**look(), TROUBLE: ""}
    except (LocalApiError, AdminApiError) as error:
        return {TROUBLE: render_template("live_trouble.html", trouble=explain(error))}


def events(
    look: Callable[[], Parts],
    goes_on: Callable[[], bool],
    sleep: Callable[[float], None] = time.sleep,
    ticks: int = int(LIFETIME_S / TICK_S),
) -> Iterator[str]:
    """Look at every tick, and tell of the parts that changed; the first tick tells of all."""
    yield f"retry: {RETRY_MS}\n\n"
    told: dict[str, str] = {}
    for tick in range(ticks):
        if tick:
            sleep(TICK_S)
            if not goes_on():
                return
        news = {name: html for name, html in look().items() if told.get(name) != html}
        told.update(news)
        yield "".join(_event(name, html) for name, html in news.items()) or ":\n\n"


def _event(name: str, html: str) -> str:
    return f"event: part\ndata: {json.dumps({'id': name, 'html': html})}\n\n"


def _prepare(state: BlueprintSetupState) -> None:
    app = state.app
    if EXTENSION not in app.extensions:
        directory = app.extensions["latchkey"].settings.runtime_dir
        app.extensions[EXTENSION] = Streams(directory)
