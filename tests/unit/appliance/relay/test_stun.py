"""The STUN responder."""

import asyncio
import socket
from ipaddress import ip_address

import pytest

from appliance.protocol import stun
from appliance.protocol.addresses import AddrPort
from appliance.relay.counters import RelayCounters
from appliance.relay.sockets import bind_udp
from appliance.relay.stun import StunResponder, stun_answer

TX_ID = bytes(range(1, 13))
REQUEST = stun.encode_request(TX_ID)


def test_a_node_is_told_its_address() -> None:
    answer = stun_answer(REQUEST, AddrPort(ip_address("1.2.3.4"), 254))
    assert answer == bytes.fromhex(
        "0101000c2112a4420102030405060708090a0b0c00200008000121ec2010a746"
    )


def test_ipv4_on_an_ipv6_socket_is_unmapped() -> None:
    mapped = stun_answer(REQUEST, AddrPort(ip_address("::ffff:1.2.3.4"), 254))
    assert mapped == stun_answer(REQUEST, AddrPort(ip_address("1.2.3.4"), 254))


@pytest.mark.parametrize("datagram", [b"", REQUEST[:-1], REQUEST[:20], bytes(40), REQUEST + b"x"])
def test_anything_else_gets_no_answer(datagram: bytes) -> None:
    assert stun_answer(datagram, AddrPort(ip_address("1.2.3.4"), 254)) is None


@pytest.mark.parametrize(
    ("bound", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.9.8.7"),
        ("::", "::1"),
        ("::", "127.9.8.7"),
        ("::1", "::1"),
    ],
)
async def test_it_answers_from_the_address_that_was_asked(bound: str, asked: str) -> None:
    counters = RelayCounters()
    responder = StunResponder(bind_udp(AddrPort(ip_address(bound), 0)), counters)
    family = socket.AF_INET6 if ":" in asked else socket.AF_INET
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(responder.run(), name="stun")
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as node:
            node.bind(("::1" if ":" in asked else "127.0.0.1", 0))
            for junk in (b"", b"junk", REQUEST):
                await loop.sock_sendto(node, junk, (asked, responder.address.port))
            async with asyncio.timeout(5):
                answer, sender = await loop.sock_recvfrom(node, 100)
            own_port = node.getsockname()[1]
        running.cancel()
    assert sender[0] == asked
    response = stun.parse_response(answer)
    assert (response.tx_id, response.address.port) == (TX_ID, own_port)
    assert counters.stun_answers == 1
