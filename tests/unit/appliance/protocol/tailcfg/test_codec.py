"""The examples of control.md 3.1 and 4.5, and what stock clients choke on (12.1)."""

import json
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest

from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import (
    ZERO_TIME,
    FilterRule,
    Hostinfo,
    MapResponse,
    NetPortRange,
    Node,
    RegisterRequest,
    decode,
    encode,
    is_set,
)

KEY = "nodekey:" + "ab" * 32
REGISTER = (
    '{"Version":131,"NodeKey":"' + KEY + '","OldNodeKey":"nodekey:' + "0" * 64 + '",'
    '"NLKey":"nlpub:' + "0" * 64 + '","Auth":{"AuthKey":"secret"},'
    '"Expiry":"0001-01-01T00:00:00Z","Followup":"","Hostinfo":{"OS":"linux","Hostname":"box1",'
    '"RoutableIPs":["192.168.1.0/24"],"SomethingNew":{"a":1}},"NodeKeySignature":null}'
)


def test_a_stock_registration_is_read() -> None:
    request = decode(RegisterRequest, REGISTER)
    assert request.version == 131
    assert request.node_key == NodePublic.parse(KEY)
    assert request.old_node_key.is_zero
    assert request.auth is not None
    assert request.auth.auth_key == "secret"
    assert request.expiry == ZERO_TIME
    assert request.hostinfo is not None
    assert request.hostinfo.routable_ips == (ip_network("192.168.1.0/24"),)


def test_the_key_of_a_registration_is_never_printed() -> None:
    assert "secret" not in repr(decode(RegisterRequest, REGISTER))


def test_an_absent_expiry_reads_as_none_at_all() -> None:
    request = decode(RegisterRequest, json.dumps({"NodeKey": KEY}))
    assert not is_set(request.expiry)


def test_a_keep_alive_is_exactly_the_bytes_that_clients_learn() -> None:
    assert encode(MapResponse(keep_alive=True)) == b'{"KeepAlive":true}'


def test_ports_are_always_written_because_absent_ones_mean_port_0() -> None:
    rule = FilterRule(src_ips=("*",), dst_ports=(NetPortRange(ip="*"),))
    assert encode(rule) == (
        b'{"SrcIPs":["*"],"DstPorts":[{"IP":"*","Ports":{"First":0,"Last":65535}}]}'
    )


def test_an_empty_filter_chunk_is_written_because_it_blocks() -> None:
    assert encode(MapResponse(packet_filters={"base": ()})) == b'{"PacketFilters":{"base":[]}}'


def test_an_empty_hostinfo_is_written_because_clients_dereference_it() -> None:
    node = Node(id=1, key=NodePublic.parse(KEY), hostinfo=Hostinfo())
    assert json.loads(encode(node))["Hostinfo"] == {}


def test_a_node_survives_the_wire() -> None:
    node = Node(
        id=7,
        stable_id="7",
        name="box.example.ts.",
        key=NodePublic.parse(KEY),
        key_expiry=datetime(2027, 1, 1, tzinfo=UTC),
        addresses=(ip_network("100.64.0.1/32"), ip_network("fd7a:115c:a1e0::1/128")),
        endpoints=("192.0.2.1:41641",),
        home_derp=900,
        derp="127.3.3.40:900",
        online=True,
        machine_authorized=True,
        cap_map={"https://tailscale.com/cap/ssh": None, "default-auto-update": (False,)},
    )
    assert decode(Node, encode(node)) == node


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b'{"ID":1}',
        b'{"ID":1,"Key":""}',
        b'{"ID":1,"Key":"mkey:' + b"ab" * 32 + b'"}',
        b'{"ID":"1","Key":"' + KEY.encode() + b'"}',
        b'{"ID":1,"Key":"' + KEY.encode() + b'","Addresses":["nonsense"]}',
        b'{"ID":1,"Key":"' + KEY.encode() + b'","Online":"true"}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_document_that_does_not_fit_is_a_protocol_error(document: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(Node, document)
