"""Who may log in."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.aio.http1 import HttpRequest, HttpResponse
from appliance.host.errors import FileProblemError
from appliance.protocol.addresses import AddrPort
from appliance.relay.admission import (
    AdmissionError,
    CoordinatorAdmission,
    FileAdmission,
    admit_anyone,
    make_admission,
    parse_nodes,
)
from appliance.relay.listener import Listener
from appliance.relay.settings import AdmitAnyone, AskCoordinator, AskFile
from appliance.relay.sockets import listen_tcp
from tests.support.derp import node_key
from tests.support.relay import LOOPBACK

NODE = node_key(1).public()
OTHER = node_key(2).public()


@asynccontextmanager
async def coordinator(answer: HttpResponse, asked: list[HttpRequest]) -> AsyncIterator[str]:
    async def handle(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        return answer

    listener = Listener(listen_tcp(AddrPort(LOOPBACK, 0)), handle, None)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(listener.run(), name="coordinator")
        yield f"http://127.0.0.1:{listener.address.port}/verify?relay=1"
        running.cancel()


async def ask(answer: HttpResponse) -> tuple[bool, list[HttpRequest]]:
    asked: list[HttpRequest] = []
    async with coordinator(answer, asked) as url, asyncio.timeout(5):
        return await CoordinatorAdmission(url)(NODE, ip_address("192.0.2.9")), asked


async def test_the_coordinator_is_asked_as_the_reference_asks() -> None:
    admitted, [request] = await ask(HttpResponse(200, body=b'{"Allow":true}'))
    assert admitted
    assert (request.method, request.target) == ("POST", "/verify?relay=1")
    assert json.loads(request.body) == {"NodePublic": NODE.text(), "Source": "192.0.2.9"}


@pytest.mark.parametrize("body", [b'{"Allow":false}', b"{}"])
async def test_a_no_is_a_no(body: bytes) -> None:
    admitted, _ = await ask(HttpResponse(200, body=body))
    assert not admitted


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(500, body=b'{"Allow":true}'),
        HttpResponse(404),
        HttpResponse(200, body=b"yes"),
        HttpResponse(200, body=b'{"Allow":1}'),
        HttpResponse(200, body=b"[" * 4000),
    ],
    ids=range(5),
)
async def test_any_other_answer_is_an_error(answer: HttpResponse) -> None:
    with pytest.raises(ExceptionGroup) as errors:
        await ask(answer)
    assert errors.group_contains(AdmissionError)


async def test_an_absent_coordinator_is_an_error() -> None:
    with listen_tcp(AddrPort(LOOPBACK, 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(OSError):
        await CoordinatorAdmission(f"http://127.0.0.1:{port}/verify")(NODE, None)


async def test_a_file_lists_the_nodes_and_may_change(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    admit = FileAdmission(path)
    with pytest.raises(AdmissionError, match="cannot read"):
        await admit(NODE, None)
    path.write_text(f"# home\n{NODE.text()}  # laptop\n\nnonsense\n")
    assert await admit(NODE, None)
    assert not await admit(OTHER, None)
    path.write_text(f"{OTHER.text()}\n")
    os.utime(path, ns=(1, 1))
    assert not await admit(NODE, None)
    assert await admit(OTHER, None)


async def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nodes"
    with path.open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(FileProblemError):
        await FileAdmission(path)(NODE, None)


def test_a_line_that_is_no_key_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    assert parse_nodes(f"nodekey:12\n{NODE.text()}") == {NODE}
    assert "line 1 of the nodes file" in caplog.text


async def test_the_settings_choose() -> None:
    assert make_admission(AdmitAnyone()) is admit_anyone
    assert await admit_anyone(NODE, None)
    assert isinstance(make_admission(AskFile(Path("/x"))), FileAdmission)
    assert isinstance(make_admission(AskCoordinator("https://x/verify")), CoordinatorAdmission)
