from __future__ import annotations

import ipaddress

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePrivate, NodePublic
from appliance.protocol.wireguard import (
    DeviceChange,
    PeerChange,
    encode_set,
    parse_device,
    parse_errno,
)

KEY, OTHER = NodePublic(bytes(range(32))), NodePublic(bytes(32 - n for n in range(32)))
PRIVATE = NodePrivate.from_seed(bytes(32))

# Answer of wireguard-go 0.0.20230223 (Debian 13) to get=1, 2026-11; keys replaced.
ANSWER = f"""private_key={PRIVATE.raw.hex()}
listen_port=41641
fwmark=524288
public_key={KEY.raw.hex()}
preshared_key={"0" * 64}
protocol_version=1
endpoint=[2001:db8::7]:5000
last_handshake_time_sec=1700000000
last_handshake_time_nsec=500000000
tx_bytes=180
rx_bytes=92
persistent_keepalive_interval=0
allowed_ip=100.64.0.2/32
allowed_ip=fd7a:115c:a1e0::2/128
public_key={OTHER.raw.hex()}
preshared_key={"0" * 64}
protocol_version=1
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
errno=0

"""


def test_a_change_is_written_line_by_line_with_the_port_after_the_mark() -> None:
    change = DeviceChange(
        private_key=PRIVATE,
        fwmark=0x80000,
        listen_port=41641,
        peers=(
            PeerChange(OTHER, remove=True),
            PeerChange(
                KEY,
                update_only=True,
                endpoint=AddrPort.parse("192.0.2.1:7"),
                replace_allowed_ips=True,
                allowed_ips=frozenset({ipaddress.ip_network("10.0.0.0/8")}),
            ),
        ),
    )
    assert encode_set(change).decode().split("\n") == [
        "set=1",
        f"private_key={PRIVATE.raw.hex()}",
        "fwmark=524288",
        "listen_port=41641",
        f"public_key={OTHER.raw.hex()}",
        "remove=true",
        f"public_key={KEY.raw.hex()}",
        "update_only=true",
        "endpoint=192.0.2.1:7",
        "replace_allowed_ips=true",
        "allowed_ip=10.0.0.0/8",
        "",
        "",
    ]


def test_an_ipv6_endpoint_has_brackets() -> None:
    change = DeviceChange(peers=(PeerChange(KEY, endpoint=AddrPort.parse("[::1]:6000")),))
    assert b"endpoint=[::1]:6000\n" in encode_set(change)


def test_a_device_is_read_with_all_its_peers() -> None:
    device = parse_device(ANSWER.encode())
    assert (device.private_key, device.listen_port, device.fwmark) == (PRIVATE, 41641, 0x80000)
    peer = device.peers[KEY]
    assert peer.endpoint == AddrPort.parse("[2001:db8::7]:5000")
    assert (peer.rx_bytes, peer.tx_bytes) == (92, 180)
    assert peer.last_handshake == 1_700_000_000.5
    assert {str(network) for network in peer.allowed_ips} == {
        "100.64.0.2/32",
        "fd7a:115c:a1e0::2/128",
    }
    silent = device.peers[OTHER]
    assert (silent.endpoint, silent.last_handshake) == (None, None)


def test_a_new_device_has_no_key_port_or_peers() -> None:
    device = parse_device(b"errno=0\n\n")
    assert (device.private_key, device.listen_port, device.peers) == (None, 0, {})


@pytest.mark.parametrize("text", ["errno=98", "errno=-98", "public_key=00\nerrno=98"])
def test_a_refusal_carries_its_number_without_sign(text: str) -> None:
    assert parse_errno(f"{text}\n\n".encode()) == 98


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"errno=0\n",
        b"listen_port=1\n\n",
        b"listen_port=x\nerrno=0\n\n",
        b"public_key=zz\nerrno=0\n\n",
        b"public_key=00\nerrno=0\n\n",
        "fwmark=\u00b2\nerrno=0\n\n".encode(),
        b"fwmark=" + b"9" * 30 + b"\nerrno=0\n\n",
        b"private_key=00\nerrno=0\n\n",
    ],
)
def test_a_broken_answer_is_a_protocol_error(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_device(answer)


def test_no_secret_shows_in_a_change() -> None:
    assert PRIVATE.raw.hex() not in repr(DeviceChange(private_key=PRIVATE))
