"""One connection to the coordinator, from the first request to the last map message."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NoReturn

from appliance.aio.errors import StreamError
from appliance.aio.http2 import Http2Client
from appliance.aio.latest import Latest
from appliance.controlclient import mapstream, register
from appliance.controlclient.config import ControlUrl, NodeReport
from appliance.controlclient.dial import printable
from appliance.controlclient.errors import (
    ControlError,
    ProtocolBrokenError,
    UnknownNodeError,
    UnreachableError,
)
from appliance.controlclient.pings import plan_answer
from appliance.controlclient.register import Verdict, read_verdict
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import MapResponse, PingRequest, RegisterRequest, encode

_log = logging.getLogger(__name__)

# The reference's watchdog: the coordinator says something at least every 60 s.
SILENCE_S: Final = 120.0
_REQUEST_TIMEOUT_S: Final = 30.0
# Waiting for a person; ours and headscale answer after a quarter of an hour.
_FOLLOWUP_TIMEOUT_S: Final = 20 * 60.0
# Pings that are being answered; more are not, so the coordinator cannot pile them up.
_MAX_PINGS: Final = 4
_MAX_ERROR_SIZE: Final = 64 * 1024


class Conversation:
    """What is said on one connection; every failure is a ``ControlError``."""

    def __init__(self, client: Http2Client, url: ControlUrl) -> None:
        self._client = client
        self._url = url
        self._map_path = url.prefix + mapstream.PATH
        self._last_ping = ""
        self._pings = 0

    async def register(self, request: RegisterRequest) -> Verdict:
        """Ask for admission; with a followup this waits for a person."""
        timeout_s = _FOLLOWUP_TIMEOUT_S if request.followup else _REQUEST_TIMEOUT_S
        path, body = self._url.prefix + register.PATH, encode(request)
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.request("POST", path, body=body)
        except (StreamError, TimeoutError) as error:
            raise self._lost(error) from None
        return read_verdict(response, self._url)

    async def poll(
        self, report: NodeReport, node_key: NodePublic, receive: Callable[[MapResponse], None]
    ) -> NoReturn:
        """Hand over every message of the map stream, keep-alives too, until it breaks off.

        A ``ProtocolError`` of the receiver ends the stream.
        """
        try:
            async with asyncio.timeout(SILENCE_S) as watchdog:
                await self._poll(report, node_key, receive, watchdog)
        except ProtocolError as error:
            raise ProtocolBrokenError(f"The coordinator's map cannot be read: {error}.") from None
        except (StreamError, TimeoutError) as error:
            raise self._lost(error) from None
        raise UnreachableError(f"The coordinator at {self._url} ended the map. Connecting again.")

    async def _poll(
        self,
        report: NodeReport,
        node_key: NodePublic,
        receive: Callable[[MapResponse], None],
        watchdog: asyncio.Timeout,
    ) -> None:
        clock = asyncio.get_running_loop().time
        body = encode(mapstream.plan_poll(report, node_key))
        reader = mapstream.MapReader()
        async with self._client.stream("POST", self._map_path, body=body) as response:
            if response.status != 200:
                raise _map_refusal(response.status, await response.read_all(_MAX_ERROR_SIZE))
            while data := await response.read():
                for message in reader.receive_data(data):
                    watchdog.reschedule(clock() + SILENCE_S)
                    receive(message)

    async def report_changes(self, report: Latest[NodeReport], node_key: NodePublic) -> None:
        """Report what the node says about itself, now and whenever it changes."""
        async for present in report.changes():
            body = encode(mapstream.plan_update(present, node_key))
            try:
                async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                    response = await self._client.request("POST", self._map_path, body=body)
            except (StreamError, TimeoutError) as error:
                raise self._lost(error) from None
            if response.status != 200:
                raise _map_refusal(response.status, response.body)

    def answer_ping(self, ping: PingRequest, tasks: asyncio.TaskGroup) -> None:
        """Answer one question of the coordinator in a task of its own, once."""
        if ping.url == self._last_ping or self._pings >= _MAX_PINGS:
            return
        self._last_ping = ping.url
        self._pings += 1
        tasks.create_task(self._answer_ping(ping), name="answer a control ping")

    async def _answer_ping(self, ping: PingRequest) -> None:
        try:
            if answer := plan_answer(ping):
                async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                    await self._client.request(answer.method, answer.target, body=answer.body)
        except (ProtocolError, StreamError, TimeoutError) as error:
            _log.debug("A ping of the coordinator stays without an answer: %s", error)
        finally:
            self._pings -= 1

    def _lost(self, error: Exception) -> UnreachableError:
        reason = f"{error}" if isinstance(error, StreamError) else "it is silent"
        return UnreachableError(
            f"The connection to the coordinator at {self._url} was lost ({reason}). Connecting "
            "again."
        )


def _map_refusal(status: int, body: bytes) -> ControlError:
    text = printable(body[:200].decode("utf-8", "replace").strip())
    if status in (401, 403, 404):
        return UnknownNodeError(f"The coordinator does not know this node: {text}. Log in again.")
    if status == 429 or status >= 500:
        return UnreachableError(f"The coordinator answered {status}: {text}. Trying again.")
    return ProtocolBrokenError(f"The coordinator refused the map with {status}: {text}.")
