import asyncio

import pytest

from appliance.aio.errors import RequestRefusedError, StreamClosedError, StreamError
from appliance.aio.http1 import Http1Client, HttpRequest, serve_http1
from appliance.aio.noise_stream import NoiseStream, accept_noise, finish_handshake, start_handshake
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import ChallengePublic, MachinePrivate
from tests.support.streams import MemoryStream, stream_pair

CLIENT, SERVER = (MachinePrivate.from_seed(bytes([n]) * 32) for n in (1, 2))
CHALLENGE = ChallengePublic(bytes(range(32)))


def upgrade_request(header_value: str) -> HttpRequest:
    headers = (
        ("Host", "latchkey.test"),
        ("Upgrade", "tailscale-control-protocol"),
        ("Connection", "upgrade"),
        ("X-Tailscale-Handshake", header_value),
    )
    return HttpRequest("POST", "/ts2021", headers)


async def join(
    near: MemoryStream, far: MemoryStream, challenge: ChallengePublic | None = None
) -> tuple[NoiseStream, NoiseStream]:
    """Upgrade one connection over HTTP; return the node's and the coordinator's channel."""
    accepted: list[NoiseStream] = []

    async def serve(stream: NoiseStream) -> None:
        accepted.append(stream)

    async def handler(request: HttpRequest):
        return accept_noise(request, SERVER, serve, challenge)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve_http1(far, handler), name="server")
        handshake = start_handshake(CLIENT, SERVER.public(), 131)
        response, leftover = await Http1Client(near).upgrade(
            upgrade_request(handshake.header_value)
        )
        assert response.status == 101
        assert response.header("Upgrade") == "tailscale-control-protocol"
        client = await finish_handshake(near, leftover, handshake)
    return client, accepted[0]


async def test_both_ends_talk_and_know_each_other() -> None:
    client, server = await join(*stream_pair())
    assert server.peer == CLIENT.public()
    assert server.version == 131
    assert client.peer == SERVER.public()
    await client.write(b"question")
    assert await server.read(100) == b"question"
    await server.write(b"an answer that is longer than nine bytes")
    assert await client.read(9) == b"an answer"
    assert await client.read(100) == b" that is longer than nine bytes"
    assert client.challenge is None


async def test_the_early_payload_is_not_part_of_the_stream() -> None:
    client, server = await join(*stream_pair(), CHALLENGE)
    await server.write(b"the first byte of HTTP/2")
    assert await client.read(100) == b"the first byte of HTTP/2"
    assert client.challenge == CHALLENGE


async def test_a_long_write_arrives_whole() -> None:
    client, server = await join(*stream_pair(capacity=2**20))
    data = bytes(range(256)) * 1000
    await client.write(data)
    arrived = b""
    while len(arrived) < len(data):
        arrived += await server.read(65_536)
    assert arrived == data


async def test_the_end_of_the_stream_is_empty() -> None:
    client, server = await join(*stream_pair())
    await client.close()
    assert await server.read(100) == b""


async def test_a_forged_record_ends_the_channel_for_good() -> None:
    near, far = stream_pair()
    client, server = await join(near, far)
    await near.write(b"\x04\0\x15" + bytes(21))
    with pytest.raises(StreamError, match="does not open"):
        await server.read(100)
    await client.write(b"valid again")
    with pytest.raises(StreamError, match="does not open"):
        await server.read(100)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HttpRequest("POST", "/ts2021"), 426),
        (HttpRequest("POST", "/ts2021", (("Upgrade", "websocket"),)), 426),
        (upgrade_request(""), 400),
        (upgrade_request("AHEBAGBYaa/0"), 400),
    ],
)
def test_a_request_that_is_no_handshake_is_refused(request_: HttpRequest, status: int) -> None:
    async def serve(stream: NoiseStream) -> None: ...

    with pytest.raises(RequestRefusedError) as refusal:
        accept_noise(request_, SERVER, serve)
    assert refusal.value.status == status


async def test_a_refusal_tells_the_reason() -> None:
    near, far = stream_pair()
    await far.write(b"\x03\0\x03no!")
    handshake = start_handshake(CLIENT, SERVER.public(), 131)
    with pytest.raises(ProtocolError, match="no!"):
        await finish_handshake(near, b"", handshake)


async def test_a_server_that_leaves_in_mid_handshake_is_noticed() -> None:
    near, far = stream_pair()
    await far.write(b"\x02\0\x30abc")
    await far.close()
    handshake = start_handshake(CLIENT, SERVER.public(), 131)
    with pytest.raises(StreamClosedError):
        await finish_handshake(near, b"", handshake)
