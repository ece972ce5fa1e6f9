import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import pytest

from appliance.aio.http1 import HttpRequest, HttpResponse, serve_http1
from appliance.aio.stream import Stream
from appliance.dns import doh
from appliance.dns.doh import DohForwarder
from appliance.dns.errors import ForwardError
from appliance.protocol.addresses import AddrPort
from tests.support.dnsmessages import query, reply_to
from tests.support.streams import MemoryStream, stream_pair

ADDRESS = AddrPort(ip_address("100.64.0.1"), 58436)
OTHER = AddrPort(ip_address("fd7a:115c:a1e0::1"), 58436)
ASKED = query()

Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class ExitNode:
    """Serves connections in memory."""

    def __init__(self, tasks: asyncio.TaskGroup, handler: Handler) -> None:
        self.tasks, self.handler = tasks, handler
        self.connections: list[MemoryStream] = []
        self.requests: list[HttpRequest] = []
        self.dead: set[AddrPort] = set()
        self.running: list[asyncio.Task[None]] = []

    async def open(self, address: AddrPort) -> Stream:
        if address in self.dead:
            raise OSError("no route to host")
        ours, theirs = stream_pair()
        self.connections.append(ours)
        self.running.append(self.tasks.create_task(serve_http1(theirs, self._handle)))
        return ours

    async def _handle(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return await self.handler(request)


async def answering(request: HttpRequest) -> HttpResponse:
    reply = reply_to(request.body, bytes(4))
    return HttpResponse(200, (("Content-Type", doh.CONTENT_TYPE),), reply)


async def run(handler: Handler, act: Callable[[ExitNode, DohForwarder], Awaitable[None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        node = ExitNode(tasks, handler)
        forwarder = DohForwarder("the exit node home", (ADDRESS, OTHER), node.open)
        try:
            await act(node, forwarder)
        finally:
            await forwarder.close()
            for task in node.running:
                task.cancel()


async def test_queries_share_a_connection_and_are_posted() -> None:
    async def act(node: ExitNode, forwarder: DohForwarder) -> None:
        for _ in range(3):
            assert await forwarder.ask(ASKED) == reply_to(ASKED, bytes(4))
        assert len(node.connections) == 1
        request = node.requests[0]
        assert (request.method, request.target) == ("POST", "/dns-query")
        assert request.header("Host") == "100.64.0.1:58436"
        assert request.header("Content-Type") == "application/dns-message"

    await run(answering, act)


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async def act(node: ExitNode, forwarder: DohForwarder) -> None:
        await forwarder.ask(ASKED)
        node.running[0].cancel()
        await node.connections[0].close()
        assert await forwarder.ask(ASKED)

    await run(answering, act)


async def test_the_second_address_is_tried_when_the_first_leads_nowhere() -> None:
    async def act(node: ExitNode, forwarder: DohForwarder) -> None:
        node.dead.add(ADDRESS)
        await forwarder.ask(ASKED)
        assert node.requests[0].header("Host") == "[fd7a:115c:a1e0::1]:58436"
        node.dead.add(OTHER)
        await forwarder.close()
        with pytest.raises(ForwardError, match="home cannot be asked"):
            await forwarder.ask(ASKED)

    await run(answering, act)


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(500, (), b"broken"),
        HttpResponse(200, (), b""),
        HttpResponse(200, (), b"x" * 60_000),
        HttpResponse(200, (), reply_to(query("other.example"), bytes(4))),
    ],
)
async def test_what_is_no_answer_is_a_failure(response: HttpResponse) -> None:
    async def handler(_: HttpRequest) -> HttpResponse:
        return response

    async def act(_: ExitNode, forwarder: DohForwarder) -> None:
        with pytest.raises(ForwardError, match="refuses to answer"):
            await forwarder.ask(ASKED)

    await run(handler, act)


async def test_an_answer_without_end_is_given_up() -> None:
    async def handler(_: HttpRequest) -> HttpResponse:
        return HttpResponse(200, (), b"x" * 200_000)

    async def act(_: ExitNode, forwarder: DohForwarder) -> None:
        with pytest.raises(ForwardError, match="too long"):
            await forwarder.ask(ASKED)

    await run(handler, act)


async def test_who_may_not_use_the_exit_node_is_told_so() -> None:
    async def handler(_: HttpRequest) -> HttpResponse:
        return HttpResponse(403, (), b"no")

    async def act(_: ExitNode, forwarder: DohForwarder) -> None:
        with pytest.raises(ForwardError, match="does not let us"):
            await forwarder.ask(ASKED)

    await run(handler, act)


async def test_a_silent_exit_node_is_given_up_and_few_connections_are_open_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doh, "TOTAL_S", 0.1)

    asking = most = 0

    async def handler(_: HttpRequest) -> HttpResponse:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        try:
            await asyncio.Event().wait()
        finally:
            asking -= 1
        raise AssertionError

    async def act(node: ExitNode, forwarder: DohForwarder) -> None:
        asked = [forwarder.ask(ASKED) for _ in range(30)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, ForwardError) for one in outcomes)
        assert 0 < most <= 2 * doh.MAX_CONNECTIONS  # the ended ones are noticed a moment later

    await run(handler, act)
