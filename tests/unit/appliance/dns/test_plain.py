import socket
from ipaddress import ip_address

import pytest

from appliance.dns import plain
from appliance.dns.errors import ForwardError
from appliance.dns.plain import PlainForwarder
from appliance.dns.resolver import bound_to
from appliance.protocol import dns
from appliance.protocol.addresses import AddrPort
from tests.support.dnsmessages import query, reply_to
from tests.support.dnsservers import name_server

ANYWHERE = bound_to("")
ASKED = query()


def good(data: bytes, _: str) -> list[bytes]:
    return [reply_to(data, bytes(4))]


def silent(_: bytes, __: str) -> list[bytes]:
    return []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "TRY_S", 0.1)
    monkeypatch.setattr(plain, "TOTAL_S", 0.5)


async def test_the_answer_comes_back_under_the_askers_number() -> None:
    async with name_server(good) as server:
        reply = await PlainForwarder([server.address], ANYWHERE, lambda _: 99).ask(ASKED)
    assert reply == reply_to(ASKED, bytes(4))
    assert server.asked == [("udp", ASKED.with_id(99).data)]


async def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    def cut(data: bytes, over: str) -> list[bytes]:
        whole = [reply_to(data, *[bytes(200)] * 20)]
        return whole if over == "tcp" else [reply_to(data, flags=0x8380)]

    async with name_server(cut) as server:
        reply = await PlainForwarder([server.address], ANYWHERE).ask(ASKED)
    assert len(reply) > 4000
    assert [over for over, _ in server.asked] == ["udp", "tcp"]


async def test_answers_to_other_questions_are_passed_over() -> None:
    def confused(data: bytes, _: str) -> list[bytes]:
        right = reply_to(data, bytes(4))
        wrong_number = dns.renumber(right, (int.from_bytes(data[:2]) + 1) % 65536)
        return [b"", b"nonsense", wrong_number, reply_to(query("evil.example"), bytes(4)), right]

    async with name_server(confused) as server:
        reply = await PlainForwarder([server.address], ANYWHERE).ask(ASKED)
    assert reply == reply_to(ASKED, bytes(4))


async def test_a_silent_server_is_followed_by_the_next_which_is_then_the_first() -> None:
    async with name_server(silent) as mute, name_server(good) as server:
        forwarder = PlainForwarder([mute.address, server.address], ANYWHERE)
        await forwarder.ask(ASKED)
        await forwarder.ask(ASKED)
    assert len(mute.asked) == 1
    assert len(server.asked) == 2


async def test_a_refusal_counts_when_nobody_knows_better() -> None:
    def refusing(data: bytes, _: str) -> list[bytes]:
        return [reply_to(data, rcode=dns.REFUSED)]

    async with name_server(refusing) as server, name_server(good) as better:
        alone = await PlainForwarder([server.address], ANYWHERE).ask(ASKED)
        both = await PlainForwarder([server.address, better.address], ANYWHERE).ask(ASKED)
    assert dns.rcode_of(alone) == dns.REFUSED
    assert dns.rcode_of(both) == dns.NO_ERROR


async def test_a_name_that_does_not_exist_is_an_answer() -> None:
    def unknown(data: bytes, _: str) -> list[bytes]:
        return [reply_to(data, rcode=dns.NAME_ERROR)]

    async with name_server(unknown) as first, name_server(good) as second:
        reply = await PlainForwarder([first.address, second.address], ANYWHERE).ask(ASKED)
    assert dns.rcode_of(reply) == dns.NAME_ERROR
    assert second.asked == []


async def test_silence_ends_in_a_sentence() -> None:
    async with name_server(silent) as server:
        with pytest.raises(ForwardError, match=r"127\.0\.0\.1 did not answer"):
            await PlainForwarder([server.address], ANYWHERE).ask(ASKED)


async def test_a_closed_port_ends_in_the_same_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    closed = AddrPort(ip_address("127.0.0.1"), port)
    with pytest.raises(ForwardError):
        await PlainForwarder([closed], ANYWHERE).ask(ASKED)


async def test_without_servers_nobody_is_asked() -> None:
    with pytest.raises(ForwardError, match="no resolver to ask"):
        await PlainForwarder([], ANYWHERE).ask(ASKED)


@pytest.mark.parametrize("tail", [b"", b"\0", b"\xff\xff", b"\0\4abcd"])
async def test_a_server_that_breaks_off_over_tcp_is_passed_over(tail: bytes) -> None:
    def cut(data: bytes, over: str) -> list[bytes]:
        return [tail] if over == "tcp" else [reply_to(data, flags=0x8380)]

    async with name_server(cut) as server:
        with pytest.raises(ForwardError):
            await PlainForwarder([server.address], ANYWHERE).ask(ASKED)
