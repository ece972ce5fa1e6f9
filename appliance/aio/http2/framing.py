"""A guard before h2, which buffers a frame of any announced length before it refuses it.

Frame: length (3 bytes) | type (1) | flags (1) | stream (4) | payload. A client sends 24 bytes
of preface first. Source: RFC 9113, sections 3.4 and 4.1.
"""

from typing import Final

from appliance.aio.errors import HttpProtocolError

PREFACE_SIZE: Final = 24
MAX_FRAME_SIZE: Final = 16_384  # the protocol's default; we never allow more
_HEADER_SIZE: Final = 9


class FrameGuard:
    """Follows the frame headers in a byte stream and refuses a frame that is too long."""

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._header = b""

    def check(self, data: bytes) -> None:
        """Look at the next bytes; an ``HttpProtocolError`` at the first too long frame."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
            else:
                step = _HEADER_SIZE - len(self._header)
                self._header += data[at : at + step]
                self._begin_frame()
            at += step

    def _begin_frame(self) -> None:
        if len(self._header) < _HEADER_SIZE:
            return
        self._skip = int.from_bytes(self._header[:3])
        self._header = b""
        if self._skip > MAX_FRAME_SIZE:
            raise HttpProtocolError("the other side does not speak HTTP/2")
