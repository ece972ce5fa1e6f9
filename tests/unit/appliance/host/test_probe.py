import socket
import struct
from ipaddress import ip_address

import pytest

from appliance.host.probe import (
    Heard,
    Outcome,
    checksum,
    echo,
    encode_echo,
    knock,
    parse_answer,
)

ME = 0x1234
IP_HEADER = bytes([0x45]) + bytes(19)
IP6_HEADER = bytes([0x60]) + bytes(39)


def reply(version: int, number: int, who: int = ME) -> bytes:
    kind = 0 if version == 4 else 129
    body = struct.pack("!BBHHH", kind, 0, 0, who, number)
    return IP_HEADER + body if version == 4 else body


def unreachable(version: int, number: int) -> bytes:
    kind = 3 if version == 4 else 1
    head = struct.pack("!BBHI", kind, 1, 0, 0)
    inner = (IP_HEADER if version == 4 else IP6_HEADER) + encode_echo(version, ME, number)
    return (IP_HEADER if version == 4 else b"") + head + inner


def test_an_echo_has_a_right_checksum() -> None:
    assert checksum(encode_echo(4, ME, 7)) == 0
    assert encode_echo(4, 1, 1)[:4] == bytes([8, 0, 0xF7, 0xFD])  # as `ping` sends it


@pytest.mark.parametrize("version", [4, 6])
def test_replies_and_refusals_are_told_apart(version: int) -> None:
    assert parse_answer(version, reply(version, 3), ME) == Heard(3, Outcome.ANSWERED)
    heard = parse_answer(version, unreachable(version, 5), ME)
    assert heard == Heard(5, Outcome.UNREACHABLE, 1)


@pytest.mark.parametrize("version", [4, 6])
def test_the_answers_of_others_do_not_count(version: int) -> None:
    assert parse_answer(version, reply(version, 3, who=ME + 1), ME) is None


@pytest.mark.parametrize("version", [4, 6])
def test_no_prefix_of_a_packet_breaks_the_reader(version: int) -> None:
    for whole in (reply(version, 3), unreachable(version, 5)):
        for length in range(len(whole)):
            assert parse_answer(version, whole[:length], ME) is None


async def test_a_port_that_is_closed_is_an_answer_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = ip_address("127.0.0.1")
        assert (await knock(here, port, 1.0)).outcome is Outcome.ANSWERED
    assert (await knock(here, port, 1.0)).outcome is Outcome.ANSWERED


async def test_this_machine_answers_an_echo() -> None:
    try:
        found = await echo([ip_address("127.0.0.1")], 2.0)
    except PermissionError:
        pytest.skip("needs CAP_NET_RAW")
    [answer] = found.values()
    assert answer.outcome is Outcome.ANSWERED
    assert answer.latency_s is not None
