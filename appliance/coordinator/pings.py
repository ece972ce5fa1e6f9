"""Questions to nodes: pings they shall send, and requests they shall answer (c2n).

A question goes down the node's map stream with a URL of its own; the node posts its answer there,
over Noise.
"""

import asyncio
import secrets
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

import h11
import msgspec

from appliance.coordinator.errors import RefusedError
from appliance.coordinator.polls import Polls
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePublic
from appliance.protocol.tailcfg import PingRequest, PingResponse, decode

PATH_PREFIX: Final = "/machine/ping/"

MAX_OPEN: Final = 64
"""Questions without an answer yet; an admin asks one at a time."""


@dataclass(frozen=True, slots=True)
class NodeAnswer:
    """A node's answer to a request of ours."""

    status: int
    body: bytes


@dataclass(slots=True)
class _Question:
    machine_key: MachinePublic
    answer: asyncio.Future[bytes]


class Pings:
    """Asks connected nodes and waits for their answers."""

    def __init__(self, polls: Polls, host: str) -> None:
        self._polls = polls
        self._base = f"https://{host}{PATH_PREFIX}"
        self._open: dict[str, _Question] = {}

    async def ping(
        self, node_id: int, machine_key: MachinePublic, ip: str, kind: str, timeout_s: float
    ) -> PingResponse:
        """Let a node ping an address (``disco``, ``TSMP``, ``ICMP`` or ``peerapi``)."""
        question = PingRequest(types=kind, ip=ip, url_is_noise=True)
        data = await self._ask(node_id, machine_key, question, timeout_s)
        try:
            return decode(PingResponse, data)
        except ProtocolError as error:
            raise RefusedError(f"The node's answer cannot be read: {error}.") from None

    def is_connected(self, node_id: int) -> bool:
        """Whether a question could be sent now."""
        return self._polls.of_node(node_id) is not None

    async def greet(self, node_id: int, machine_key: MachinePublic, timeout_s: float) -> None:
        """Let a node answer with an empty request; a ``RefusedError`` when it does not."""
        await self._ask(node_id, machine_key, PingRequest(url_is_noise=True), timeout_s)

    async def request(
        self,
        node_id: int,
        machine_key: MachinePublic,
        method: str,
        path: str,
        body: bytes = b"",
        timeout_s: float = 30.0,
    ) -> NodeAnswer:
        """Let a node serve an HTTP request of ours (c2n)."""
        payload = b64encode(_encode_request(method, path, body)).decode()
        question = PingRequest(types="c2n", payload=payload, url_is_noise=True)
        return _parse_response(await self._ask(node_id, machine_key, question, timeout_s))

    def receive(self, path: str, machine_key: MachinePublic, body: bytes) -> bool:
        """Take an answer that a node posted; False when nobody waits for it."""
        question = self._open.get(path.removeprefix(PATH_PREFIX).partition("?")[0])
        if question is None or question.machine_key != machine_key or question.answer.done():
            return False
        question.answer.set_result(body)
        return True

    async def _ask(
        self, node_id: int, machine_key: MachinePublic, question: PingRequest, timeout_s: float
    ) -> bytes:
        poll = self._polls.of_node(node_id)
        if poll is None:
            raise RefusedError("The node is not connected now. Try again when it is online.")
        if len(self._open) >= MAX_OPEN:
            raise RefusedError("Too many questions wait for their answers. Try again later.")
        token = secrets.token_hex(16)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._open[token] = _Question(machine_key, answer)
        try:
            poll.ask(msgspec.structs.replace(question, url=self._base + token))
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise RefusedError(
                f"No answer within {timeout_s:g} s: the address did not answer the node's ping, "
                "or the node does not know this kind of question."
            ) from None
        finally:
            del self._open[token]


def _encode_request(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _parse_response(data: bytes) -> NodeAnswer:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "node")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, bytearray()
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                break
    except h11.RemoteProtocolError as error:
        raise RefusedError(f"The node's answer cannot be read: {error}.") from None
    return NodeAnswer(status, bytes(body))
