import asyncio
import errno
import os
import socket

import pytest

from appliance.aio.connect import Address, _interleave, connect_tcp


def resolver(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    """Make every name resolve to these addresses."""

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple]:
        return [(0, 0, 0, "", (ip, port)) for ip in ips]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


class Network:
    """Addresses that answer, refuse or are silent; remembers who was asked and what is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.opened: list[socket.socket] = []
        self.answers: set[str] = set()
        self.silent: set[str] = set()

    async def connect(self, address: Address) -> socket.socket:
        self.asked.append(address[0])
        if address[0] in self.silent:
            await asyncio.get_running_loop().create_future()
        if address[0] not in self.answers:
            raise ConnectionRefusedError(f"refused by {address[0]}")
        sock = socket.socket()
        self.opened.append(sock)
        return sock


@pytest.fixture
def network() -> Network:
    return Network()


async def test_a_literal_address_needs_no_resolver() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        sock = await connect_tcp("127.0.0.1", server.getsockname()[1])
        assert sock.getpeername() == server.getsockname()
        sock.close()


async def test_a_refused_connection_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await connect_tcp("127.0.0.1", port)


async def test_the_next_address_is_tried_at_once_when_one_refuses(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    resolver(monkeypatch, "2001:db8::1", "192.0.2.1")
    network.answers = {"192.0.2.1"}
    async with asyncio.timeout(0.2):
        (await connect_tcp("name.test", 80, network.connect)).close()
    assert network.asked == ["2001:db8::1", "192.0.2.1"]


async def test_a_silent_address_delays_the_next_only_a_little(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    resolver(monkeypatch, "2001:db8::1", "192.0.2.1")
    network.silent, network.answers = {"2001:db8::1"}, {"192.0.2.1"}
    async with asyncio.timeout(1):
        (await connect_tcp("name.test", 80, network.connect)).close()


async def test_no_answer_from_any_address_is_the_first_ones_error(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    resolver(monkeypatch, "2001:db8::1", "192.0.2.1")
    with pytest.raises(ConnectionRefusedError, match="2001:db8::1"):
        await connect_tcp("name.test", 80, network.connect)


async def test_an_unknown_name_is_an_error_of_its_own(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(socket.gaierror):
        await connect_tcp("name.test", 80, network.connect)


async def test_giving_up_leaves_no_attempt_behind(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    resolver(monkeypatch, "192.0.2.1", "192.0.2.2")
    network.silent = {"192.0.2.1", "192.0.2.2"}
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await connect_tcp("name.test", 80, network.connect)
    assert len(network.asked) == 2
    assert len(asyncio.all_tasks()) == 1


async def test_the_slower_attempt_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver(monkeypatch, "192.0.2.1", "192.0.2.2")
    given_up: list[str] = []

    async def connect(address: Address) -> socket.socket:
        if address[0] == "192.0.2.2":
            return socket.socket()
        try:
            return await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            given_up.append(address[0])
            raise

    (await connect_tcp("name.test", 80, connect)).close()
    assert given_up == ["192.0.2.1"]


def test_families_alternate_beginning_with_the_resolvers_choice() -> None:
    found = [("2001:db8::1", 1), ("2001:db8::2", 1), ("192.0.2.1", 1)]
    assert [ip for ip, _ in _interleave(found)] == ["2001:db8::1", "192.0.2.1", "2001:db8::2"]


async def test_a_refusal_is_said_in_the_kernels_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError) as caught:
        await connect_tcp("127.0.0.1", port)
    assert caught.value.strerror == os.strerror(errno.ECONNREFUSED)
