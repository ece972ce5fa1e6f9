"""Messages of the map stream as bytes.

Each message: length (4, little-endian) | body. The body is JSON, or one zstd frame of it when the
client asked for that. Source: tailscale control/controlclient/direct.go, 2026-08.
"""

from typing import Any, Final

import msgspec
import zstandard

from appliance.protocol.tailcfg import MapResponse, Node, encode

_LEVEL: Final = 1
"""Deltas are too small for more to matter; a first map of 50 nodes shrinks to a tenth anyway."""


class Framer:
    """Encodes messages; what every viewer is sent of a node is encoded once for all."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
        self._nodes: dict[int, tuple[Node, msgspec.Raw]] = {}

    def frame(self, message: MapResponse, *, compress: bool) -> bytes:
        """Encode one message with its length."""
        body = encode(self._with_encoded_nodes(message))
        if compress:
            body = self._compressor.compress(body)
        return len(body).to_bytes(4, "little") + body

    def _with_encoded_nodes(self, message: MapResponse) -> MapResponse:
        if not message.peers and not message.peers_changed:
            return message
        # Encoding looks at the values, not at the declared types.
        encoded: dict[str, Any] = {
            name: tuple(map(self._encode_node, nodes))
            for name in ("peers", "peers_changed")
            if (nodes := getattr(message, name)) is not None
        }
        return msgspec.structs.replace(message, **encoded)

    def _encode_node(self, node: Node) -> msgspec.Raw:
        known = self._nodes.get(node.id)
        if known is not None and known[0] is node:
            return known[1]
        encoded = msgspec.Raw(encode(node))
        self._nodes[node.id] = (node, encoded)
        return encoded

    def forget(self, node_ids: frozenset[int]) -> None:
        """Drop what is kept of nodes that changed or went."""
        for node_id in node_ids:
            self._nodes.pop(node_id, None)
