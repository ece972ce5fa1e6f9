"""Whatever the bytes, a map response or a ProtocolError; and what was read can be written."""

import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import MapRequest, MapResponse, RegisterRequest, decode, encode

HEAD_NAMES = [
    "Node",
    "Peers",
    "PeersChangedPatch",
    "DERPMap",
    "PacketFilters",
    "Version",
    "NodeKey",
]
DEEP_NAMES = [
    "Hostinfo",
    "Endpoints",
    "ID",
    "Key",
    "Regions",
    "base",
    "SrcIPs",
    "DstPorts",
    "Domain",
]
NAMES = st.sampled_from(HEAD_NAMES) | st.sampled_from(DEEP_NAMES)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
TEXTS = st.text(max_size=20) | st.sampled_from(["nodekey:" + "ab" * 32, "100.64.0.1/32"])
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)
DOCUMENTS = st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode())


@given(DOCUMENTS)
def test_any_document_is_a_message_or_a_protocol_error(data: bytes) -> None:
    for kind in (MapResponse, MapRequest, RegisterRequest):
        try:
            message = decode(kind, data)
        except ProtocolError:
            continue
        assert decode(kind, encode(message)) == message
