import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.controlclient.config import NodeReport
from appliance.controlclient.mapstream import MAX_FRAME_SIZE, MapReader, plan_poll, plan_update
from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPublic, NodePublic
from appliance.protocol.tailcfg import EndpointType, Hostinfo, MapResponse, NetInfo, encode
from tests.support.control import map_frame, self_node

KEY = NodePublic(b"k" * 32)
REPORT = NodeReport(
    Hostinfo(hostname="box"),
    DiscoPublic(b"d" * 32),
    ((AddrPort.parse("192.0.2.1:41641"), EndpointType.STUN),),
    NetInfo(preferred_derp=9),
)
# From the reference's stream, 2026-11-22: a keep-alive in a frame of raw blocks.
KEEP_ALIVE = bytes.fromhex("1b00000028b52ffd20129100007b224b656570416c697665223a747275657d")


def test_a_keep_alive_of_the_reference_is_read() -> None:
    assert MapReader().receive_data(KEEP_ALIVE) == [MapResponse(keep_alive=True)]


def test_a_poll_asks_for_a_compressed_stream() -> None:
    request = json.loads(encode(plan_poll(REPORT, KEY)))
    assert request["Compress"] == "zstd"
    assert request["Stream"] is True
    assert request["KeepAlive"] is True
    assert "OmitPeers" not in request


def test_an_update_reports_everything_and_asks_for_nothing() -> None:
    request = json.loads(encode(plan_update(REPORT, KEY)))
    assert "Stream" not in request
    assert request["OmitPeers"] is True
    assert request["NodeKey"] == KEY.text()
    assert request["DiscoKey"] == REPORT.disco_key.text()
    assert request["Endpoints"] == ["192.0.2.1:41641"]
    assert request["EndpointTypes"] == [2]
    assert request["Hostinfo"]["Hostname"] == "box"
    assert request["Hostinfo"]["NetInfo"]["PreferredDERP"] == 9


@given(st.integers(1, 60), st.integers(0, 4))
def test_messages_are_found_in_any_fragmentation(step: int, count: int) -> None:
    message = MapResponse(node=self_node(KEY))
    data = map_frame(message) * count + KEEP_ALIVE
    reader = MapReader()
    read = []
    for at in range(0, len(data), step):
        read += reader.receive_data(data[at : at + step])
    assert read == [message] * count + [MapResponse(keep_alive=True)]


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    "data",
    [
        framed(b""),
        (MAX_FRAME_SIZE + 1).to_bytes(4, "little"),
        framed(b"{}"),
        framed(zstandard.compress(b"not JSON")),
        framed(zstandard.compress(b"[]")),
        framed(zstandard.compress(bytes(17 * 1024 * 1024))),
        framed(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(17 << 20))),
        framed(zstandard.compress(b"{}")[:-1]),
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        MapReader().receive_data(data)
