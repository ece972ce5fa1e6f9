"""What can go wrong on a byte stream and in the HTTP spoken over it."""


class StreamError(Exception):
    """The connection is of no further use; close it."""


class StreamClosedError(StreamError):
    """The other side went away, or reset this HTTP/2 stream; nobody reads what is sent."""


class HttpProtocolError(StreamError):
    """The other side does not speak the HTTP that was agreed on, or exceeds a limit."""


class RequestRefusedError(Exception):
    """Raised by a handler, or for it, to answer a request with a status and one sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
