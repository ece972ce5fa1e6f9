"""A program's API on a Unix socket, in a thread, that answers as a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

Answer = tuple[int, Any]


class ScriptedApi:
    """What was asked, and what is answered: ``answers`` maps (method, path) to JSON."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.calls: list[tuple[str, str, Any]] = []

    def answer(self, method: str, target: str, body: Any) -> Answer:
        """Record the call; a callable answer is asked, an exception's text is a refusal."""
        path = target.partition("?")[0].split("/v0", 1)[1]
        if method != "GET":
            self.calls.append((method, target.split("/v0", 1)[1], body))
        found = self.answers.get((method, path))
        if isinstance(found, Callable):
            found = found(body)
        if isinstance(found, Refusal):
            return 409, {"code": found.code, "message": found.message}
        if found is None:
            return 404, {"code": "no-such-call", "message": f"{method} {path}?"}
        return 200, found


class Refusal:
    """An answer that says no."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message


@contextmanager
def scripted_api(path: Path) -> Iterator[ScriptedApi]:
    """Serve for the length of a block."""
    api = ScriptedApi()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            status, answer = api.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "test"

    class Server(ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
