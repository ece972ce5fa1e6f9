"""The map stream: what is asked, and how its messages are cut out of the bytes. Pure.

POST /machine/map. Each message: length (4, little-endian) | one zstd frame of JSON.

Source: tailscale control/controlclient/direct.go (sendMapRequest), 2026-08.
"""

from typing import Final

import zstandard

from appliance.controlclient.config import NodeReport
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import CAPABILITY_VERSION, MapRequest, MapResponse, decode

PATH: Final = "/machine/map"

# A node with its Hostinfo has about 1.5 KB of JSON; this is a tailnet of 10,000 nodes, more
# than a home gateway can hold. Compressed it shrinks to a fifth or less.
MAX_MESSAGE_SIZE: Final = 16 * 1024 * 1024
MAX_FRAME_SIZE: Final = 4 * 1024 * 1024
_COMPRESS: Final = "zstd"
_LENGTH_SIZE: Final = 4


def plan_poll(report: NodeReport, node_key: NodePublic) -> MapRequest:
    """Ask for the map and all that changes in it."""
    return _request(report, node_key, stream=True)


def plan_update(report: NodeReport, node_key: NodePublic) -> MapRequest:
    """Only report what the node says about itself."""
    return _request(report, node_key, stream=False)


def _request(report: NodeReport, node_key: NodePublic, *, stream: bool) -> MapRequest:
    return MapRequest(
        version=CAPABILITY_VERSION,
        compress=_COMPRESS,
        keep_alive=True,
        node_key=node_key,
        disco_key=report.disco_key,
        stream=stream,
        omit_peers=not stream,
        hostinfo=report.full_hostinfo,
        endpoints=tuple(str(address) for address, _ in report.endpoints) or None,
        endpoint_types=tuple(int(kind) for _, kind in report.endpoints) or None,
    )


class MapReader:
    """Cuts a stream of bytes into messages; buffers less than one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._decompressor = zstandard.ZstdDecompressor()

    def receive_data(self, data: bytes) -> list[MapResponse]:
        """Take bytes as they arrive and return the messages now complete.

        Anything that is no message, or too long, is a ``ProtocolError``.
        """
        buffer = self._buffer
        buffer += data
        messages: list[MapResponse] = []
        at = 0
        while len(buffer) - at >= _LENGTH_SIZE:
            start = at + _LENGTH_SIZE
            size = int.from_bytes(buffer[at:start], "little")
            if not 0 < size <= MAX_FRAME_SIZE:
                raise ProtocolError(f"a map message of {size} bytes")
            if len(buffer) < start + size:
                break
            messages.append(self._decode(bytes(buffer[start : start + size])))
            at = start + size
        del buffer[:at]
        return messages

    def _decode(self, frame: bytes) -> MapResponse:
        try:
            if zstandard.frame_content_size(frame) > MAX_MESSAGE_SIZE:
                raise ProtocolError("a map message that is too long when decompressed")
            body = self._decompressor.decompress(frame, max_output_size=MAX_MESSAGE_SIZE)
        except zstandard.ZstdError as error:
            raise ProtocolError(f"a map message that is no zstd frame ({error})") from None
        return decode(MapResponse, body)
