"""HTTP requests and answers as values, the same for HTTP/1.1 and HTTP/2."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs

Headers = tuple[tuple[str, str], ...]


def find_header(headers: Headers, name: str) -> str | None:
    """Return the first value of a header, by its name in any case."""
    lower = name.lower()
    return next((value for key, value in headers if key.lower() == lower), None)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request with its whole body; ``target`` is the path and the query."""

    method: str
    target: str
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def query(self, name: str) -> str | None:
        """Return the first value of a query parameter."""
        values = parse_qs(self.target.partition("?")[2], keep_blank_values=True).get(name)
        return values[0] if values else None

    def header(self, name: str) -> str | None:
        """Return the first value of a header, by its name in any case."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer with its whole body."""

    status: int
    headers: Headers = ()
    body: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """Return the first value of a header, by its name in any case."""
        return find_header(self.headers, name)


@dataclass(frozen=True, slots=True)
class StreamingResponse:
    """An answer whose body is sent piece by piece, each at once."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]


def text_response(status: int, text: str) -> HttpResponse:
    """Answer with one line of plain text."""
    return HttpResponse(
        status, (("Content-Type", "text/plain; charset=utf-8"),), f"{text}\n".encode()
    )


def json_response(status: int, body: bytes) -> HttpResponse:
    """Answer with JSON that is already encoded."""
    return HttpResponse(status, (("Content-Type", "application/json"),), body)
