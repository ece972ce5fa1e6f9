"""What nodes ask over Noise: register, map, and the small things stock clients try.

The machine key of the connection is the only identity; a node key in a request counts only when it
belongs to that machine.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from appliance.aio.errors import RequestRefusedError
from appliance.aio.http2.budget import ByteBudget
from appliance.aio.http2.server import Http2Exchange, Http2Limits, serve_http2
from appliance.aio.messages import HttpResponse, json_response, text_response
from appliance.aio.noise_stream import NoiseStream
from appliance.coordinator.mapstream import MapStreams
from appliance.coordinator.pings import PATH_PREFIX, Pings
from appliance.coordinator.registrar import Registrar
from appliance.coordinator.registration import MIN_CAP_VERSION
from appliance.coordinator.report import apply_report
from appliance.coordinator.state import State
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePublic
from appliance.protocol.tailcfg import MapRequest, RegisterRequest, decode, encode

T = TypeVar("T")

_BODY_OF_STRANGERS: Final = 64 * 1024
"""A registration is 2 KiB; only nodes have anything longer to say."""

_BUDGET_OF_STRANGERS: Final = 8 * 1024 * 1024
"""What all strangers together may make us buffer; nodes have a budget of their own."""

_NOT_OFFERED: Final = {
    "/machine/set-dns": "HTTPS certificates",
    "/machine/id-token": "identity tokens",
    "/machine/set-device-attr": "device attributes",
    "/machine/feature/query": "Serve and Funnel",
    "/machine/whoami": "whoami",
}

_ACCEPTED_IN_SILENCE: Final = frozenset({"/machine/update-health", "/machine/audit-log"})


@dataclass(frozen=True, slots=True)
class NoiseApi:
    """Serves the connections of nodes, and of those who want to become one."""

    state: State
    registrar: Registrar
    streams: MapStreams
    pings: Pings
    of_nodes: Http2Limits
    of_strangers: Http2Limits

    async def serve(self, stream: NoiseStream) -> None:
        """Serve one connection until it ends."""
        machine_key = stream.peer
        limits = self.of_nodes if self._is_known(machine_key) else self.of_strangers

        async def handle(exchange: Http2Exchange) -> None:
            await self._handle(machine_key, exchange)

        await serve_http2(stream, handle, limits)

    def _is_known(self, machine_key: MachinePublic) -> bool:
        return bool(self.state.snapshot.nodes_of_machine(machine_key))

    async def _handle(self, machine_key: MachinePublic, exchange: Http2Exchange) -> None:
        path = exchange.path.partition("?")[0]
        if path == "/machine/register" and exchange.method == "POST":
            await self._register(machine_key, exchange)
        elif path == "/machine/map" and exchange.method == "POST":
            await self._map(machine_key, exchange)
        elif path.startswith(PATH_PREFIX):
            body = await exchange.body()
            taken = self.pings.receive(path, machine_key, body)
            await exchange.respond(200 if taken else 404)
        else:
            await exchange.send_response(_small_answer(path))

    async def _register(self, machine_key: MachinePublic, exchange: Http2Exchange) -> None:
        request = _read(RegisterRequest, await exchange.body())
        _check_version(request.version)
        response = await self.registrar.register(machine_key, request)
        await exchange.send_response(json_response(200, encode(response)))

    async def _map(self, machine_key: MachinePublic, exchange: Http2Exchange) -> None:
        request = _read(MapRequest, await exchange.body())
        _check_version(request.version)
        node = self.state.snapshot.node_by_key(request.node_key)
        if node is None or node.machine_key != machine_key:
            raise RequestRefusedError(404, "this node is not registered here: log in again")
        node_id = node.id
        if apply_report(self.state.snapshot, node_id, request) is not self.state.snapshot:
            await self.state.report(
                lambda snapshot, _now: (apply_report(snapshot, node_id, request), None)
            )
        if request.stream:
            await self.streams.serve(exchange, node_id, request)
        elif request.omit_peers:
            await exchange.respond(200)
        else:
            await self.streams.serve_once(exchange, node_id, request)


def limits_of_nodes() -> Http2Limits:
    """Return what a known machine's connection may cost; one value for all of them."""
    return Http2Limits()


def limits_of_strangers() -> Http2Limits:
    """Return what an unknown machine's connection may cost; one value for all of them."""
    return Http2Limits(body_bytes=_BODY_OF_STRANGERS, budget=ByteBudget(_BUDGET_OF_STRANGERS))


def _read(kind: type[T], body: bytes) -> T:
    try:
        return decode(kind, body)
    except ProtocolError as error:
        raise RequestRefusedError(400, str(error)) from None


def _check_version(version: int) -> None:
    if version < MIN_CAP_VERSION:
        raise RequestRefusedError(400, "this client is too old: 1.48 or newer is needed")


def _small_answer(path: str) -> HttpResponse:
    if path in _ACCEPTED_IN_SILENCE:
        return HttpResponse(204)
    if path in _NOT_OFFERED:
        return text_response(501, f"this coordinator does not offer {_NOT_OFFERED[path]}")
    return text_response(404, "no such call")
