"""The sealed login messages against reference vectors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_box

from appliance.protocol.derp import login
from appliance.protocol.derp.login import ClientInfo, ServerInfo
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from tests.support.derp import FRAMES, NODE, NONCE, RELAY, node_key

MESH_KEY = "6d529e9d4ef632d22d4a4214cb49da8f1ba1b72697061fb24e312984c35ec8d8"


def sealed(data: bytes) -> bytes:
    box = crypto_box(data, NONCE, RELAY.public().raw, NODE.raw)
    return NODE.public().raw + NONCE + box


def test_a_stock_login_is_encoded_byte_for_byte() -> None:
    frame = login.encode_client_info(ClientInfo(), NODE, RELAY.public(), NONCE)
    assert frame == FRAMES["client_info"]


def test_a_stock_login_is_opened() -> None:
    node, info = login.parse_client_info(FRAMES["client_info"][5:], RELAY)
    assert node == NODE.public()
    assert info == ClientInfo(version=2, can_ack_pings=True)


def test_the_answer_to_a_login_is_encoded_byte_for_byte() -> None:
    frame = login.encode_server_info(ServerInfo(), RELAY, NODE.public(), NONCE)
    assert frame == FRAMES["server_info"]


def test_the_answer_to_a_login_is_opened() -> None:
    info = login.parse_server_info(FRAMES["server_info"][5:], NODE, RELAY.public())
    assert info == ServerInfo(version=2)


@given(st.booleans(), st.booleans(), st.text(max_size=20), st.sampled_from(["", MESH_KEY]))
def test_a_login_survives_the_round_trip(ack: bool, prober: bool, app: str, mesh: str) -> None:
    info = ClientInfo(2, ack, prober, app, mesh)
    frame = login.encode_client_info(info, NODE, RELAY.public(), NONCE)
    assert login.parse_client_info(frame[5:], RELAY) == (NODE.public(), info)


def test_a_relay_may_ask_for_a_rate() -> None:
    info = ServerInfo(2, 1000, 5000)
    frame = login.encode_server_info(info, RELAY, NODE.public(), NONCE)
    assert login.parse_server_info(frame[5:], NODE, RELAY.public()) == info


def test_an_empty_object_is_a_login() -> None:
    assert login.client_info_from_json(b"{}") == ClientInfo(0, can_ack_pings=False)


def test_names_in_the_json_are_read_in_any_case() -> None:
    upper = json.dumps({"Version": 5, "MeshKey": MESH_KEY}).encode()
    lower = json.dumps({"version": 5, "meshKey": MESH_KEY}).encode()
    assert login.client_info_from_json(upper) == login.client_info_from_json(lower)
    assert login.client_info_from_json(upper).mesh_key == MESH_KEY


@pytest.mark.parametrize("mesh_key", [MESH_KEY[:-1], MESH_KEY + "0", MESH_KEY[:-1] + "g"])
def test_a_mesh_key_of_another_form_is_refused(mesh_key: str) -> None:
    with pytest.raises(ProtocolError, match="mesh key"):
        login.client_info_from_json(json.dumps({"meshKey": mesh_key}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b'{"version": "2"}',
        b'{"version": true}',
        b'{"version": -1}',
        b'{"AppName": 3}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
    ids=range(9),
)
def test_a_login_without_proper_json_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        login.parse_client_info(sealed(data), RELAY)


def test_a_login_by_another_key_does_not_open() -> None:
    stolen = node_key(3).public().raw + FRAMES["client_info"][5 + 32 :]
    with pytest.raises(ProtocolError, match="does not open"):
        login.parse_client_info(stolen, RELAY)


@pytest.mark.parametrize("size", [0, 31, 55, 56, 71])
def test_a_short_login_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError):
        login.parse_client_info(FRAMES["client_info"][5 : 5 + size], RELAY)


def test_a_login_with_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(ProtocolError):
        login.parse_client_info(bytes(32) + FRAMES["client_info"][5 + 32 :], RELAY)
    with pytest.raises(ProtocolError):
        login.parse_server_info(FRAMES["server_info"][5:], NODE, NodePublic.zero())


def test_a_mesh_key_is_never_printed() -> None:
    assert MESH_KEY[:8] not in repr(ClientInfo(mesh_key=MESH_KEY))
