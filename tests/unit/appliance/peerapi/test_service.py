import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.aio.errors import RequestRefusedError, StreamClosedError
from appliance.aio.http1 import Http1Client, HttpRequest, HttpResponse
from appliance.aio.stream import TcpStream
from appliance.peerapi import service as module
from appliance.peerapi.config import PeerApiConfig
from appliance.peerapi.errors import PeerApiError
from appliance.peerapi.service import PeerApiService, check_origin, likely_ports, listen
from appliance.protocol import dns
from tests.support.dnsmessages import query, query_bytes, reply_to

HERE = ip_address("127.0.0.1")
CONFIG = PeerApiConfig("", (HERE,), frozenset({HERE}), (".hidden.example",))
OFF = PeerApiConfig("")


async def answering(asked: dns.Query) -> bytes:
    return reply_to(asked, bytes(4))


@asynccontextmanager
async def serving(config: PeerApiConfig = CONFIG) -> AsyncIterator[PeerApiService]:
    service = PeerApiService(answering)
    await service.apply(config)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run())
        try:
            yield service
        finally:
            running.cancel()
            await service.clean_up()


async def ask(port: int, body: bytes = query_bytes(), host: str = "", **more: str) -> HttpResponse:
    stream = TcpStream(*await asyncio.open_connection("127.0.0.1", port))
    headers = {"Host": host or f"127.0.0.1:{port}", "Content-Type": "application/dns-message"}
    path = more.pop("path", "/dns-query")
    try:
        request = HttpRequest("POST", path, tuple((headers | more).items()), body)
        async with asyncio.timeout(2):
            return await Http1Client(stream).request(request)
    finally:
        await stream.close()


async def test_a_client_gets_its_answer() -> None:
    async with serving() as service:
        response = await ask(service.port.value)
        assert response.status == 200
        assert response.header("Content-Type") == "application/dns-message"
        assert response.body == reply_to(query(), bytes(4))


async def test_a_stranger_is_not_even_listened_to() -> None:
    async with serving(replace(CONFIG, dns_clients=frozenset())) as service:
        with pytest.raises((StreamClosedError, ConnectionError)):
            await ask(service.port.value)


async def test_who_loses_the_permission_is_refused_on_its_open_connection() -> None:
    async with serving() as service:
        stream = TcpStream(*await asyncio.open_connection("127.0.0.1", service.port.value))
        client = Http1Client(stream)
        headers = (("Host", "peer"), ("Content-Type", "application/dns-message"))
        request = HttpRequest("POST", "/dns-query", headers, query_bytes())
        assert (await client.request(request)).status == 200
        await service.apply(replace(CONFIG, dns_clients=frozenset()))
        assert (await client.request(request)).status == 403
        await stream.close()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"path": "/v0/put/x"}, 404),
        ({"path": "/dns-query/../x"}, 404),
        ({"host": "evil.example:80"}, 403),
        ({"host": "192.0.2.1:80"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Referer": "http://evil.example/"}, 403),
        ({"host": "peer"}, 200),
    ],
)
async def test_only_the_honest_question_is_answered(more: dict[str, str], status: int) -> None:
    async with serving() as service:
        assert (await ask(service.port.value, **more)).status == status


async def test_a_name_that_must_not_be_looked_up_for_others_is_refused() -> None:
    async with serving() as service:
        response = await ask(service.port.value, query_bytes("a.hidden.example"))
        assert dns.rcode_of(response.body) == dns.REFUSED


async def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as service:
        assert (await ask(service.port.value, bytes(10_000))).status == 413
        monkeypatch.setattr(module, "MAX_QUERIES", 0)
        assert (await ask(service.port.value)).status == 503
        monkeypatch.setattr(module, "MAX_CONNECTIONS_OF_ONE", 0)
        with pytest.raises((StreamClosedError, ConnectionError)):
            await ask(service.port.value)


async def test_the_port_is_closed_when_nothing_is_served() -> None:
    async with serving() as service:
        port = service.port.value
        assert await service.apply(OFF) == 0
        with pytest.raises(OSError):
            await ask(port)
        assert await service.apply(CONFIG) == port, "the same one again"
        assert (await ask(port)).status == 200


async def test_no_port_to_be_had_is_told_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list[socket.socket]:
        raise PeerApiError("No port.")

    service = PeerApiService(answering)
    with monkeypatch.context() as patched:
        patched.setattr(module, "listen", refuse)
        assert await service.apply(CONFIG) == 0
        assert service.problem == "No port."
    assert await service.apply(CONFIG) != 0
    assert service.problem == ""
    await service.clean_up()


def test_the_ports_to_try_are_those_of_the_reference() -> None:
    assert likely_ports(ip_address("100.64.0.1"))[:2] == (58436, 36467)
    assert likely_ports(ip_address("100.101.102.103"))[0] == 59395
    assert likely_ports(ip_address("fd7a:115c:a1e0::1"))[0] == 59780


def test_all_addresses_get_the_same_port_and_a_taken_one_is_passed_over() -> None:
    first = listen((HERE,), "")
    second = listen((HERE, ip_address("::1")), "")
    ports = {sock.getsockname()[1] for sock in second}
    assert len(ports) == 1
    assert ports.isdisjoint({first[0].getsockname()[1]})
    for sock in (*first, *second):
        sock.close()


def test_an_address_that_is_not_ours_is_an_error_with_advice() -> None:
    with pytest.raises(PeerApiError, match="No port for peers can be had"):
        listen((ip_address("192.0.2.1"),), "")


def test_ipv6_hosts_are_written_in_brackets() -> None:
    six = ip_address("fd7a:115c:a1e0::1")
    check_origin(HttpRequest("GET", "/", (("Host", f"[{six}]:58436"),)), (six,))
    with pytest.raises(RequestRefusedError):
        check_origin(HttpRequest("GET", "/", (("Host", str(six)),)), (six,))
