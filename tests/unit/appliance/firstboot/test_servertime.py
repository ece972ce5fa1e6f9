"""The question for the time, put to real TLS servers on loopback.

This machine's clock is right; to be in the place of one that is a year behind, the servers live a
year ahead, certificates and all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.aio.messages import HttpResponse
from appliance.aio.stream import TcpStream
from appliance.controlclient.config import ControlUrl
from appliance.firstboot.errors import ClockRefusedError, LaterError
from appliance.firstboot.servertime import ServerTime, ask
from appliance.relay.certificates import self_signed
from tests.netns.lab.pki import Authority, ServerFiles
from tests.support.control import FakeCoordinator, listening
from tests.support.timeserver import saying, server_context

NEXT_YEAR = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
HEAD = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 2033 08:49:37 GMT\r\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


async def ask_one(
    authority: Authority,
    serve: Callable[[TcpStream], Awaitable[None]],
    files: ServerFiles | None = None,
) -> ServerTime:
    shown = files or authority.issue("localhost", since=NEXT_YEAR - timedelta(days=1))
    async with listening(serve, server_context(shown)) as port:
        url = ControlUrl.parse(f"https://localhost:{port}")
        # Beyond the block an error is what it was, and no group of a server's.
        [outcome] = await asyncio.gather(ask(url, authority.file), return_exceptions=True)
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def test_a_clock_a_year_behind_hears_the_time_and_when_the_certificate_is_valid(
    authority: Authority,
) -> None:
    server = FakeCoordinator(date=NEXT_YEAR)
    said = await ask_one(authority, server.serve)
    assert said.date == NEXT_YEAR
    assert said.not_before == NEXT_YEAR - timedelta(days=1)
    assert said.not_after == NEXT_YEAR + timedelta(days=30)
    assert said.server.startswith("https://localhost:")
    assert server.paths == ["GET /key?v=131"]


async def test_a_self_signed_certificate_is_not_believed(
    authority: Authority, tmp_path: Path
) -> None:
    files = ServerFiles(tmp_path / "self.pem", tmp_path / "self-key.pem")
    for file, data in zip((files.certificate, files.key), self_signed("localhost"), strict=True):
        file.write_bytes(data)
    with pytest.raises(ClockRefusedError, match="not believed about the time: self-signed"):
        await ask_one(authority, FakeCoordinator(date=NEXT_YEAR).serve, files)


async def test_another_authority_is_not_believed(authority: Authority, tmp_path: Path) -> None:
    strange = Authority(tmp_path / "other").issue("localhost", since=NEXT_YEAR)
    with pytest.raises(ClockRefusedError, match="not believed about the time"):
        await ask_one(authority, FakeCoordinator(date=NEXT_YEAR).serve, strange)


async def test_another_name_is_not_believed(authority: Authority) -> None:
    other = authority.issue("elsewhere.test", since=NEXT_YEAR)
    with pytest.raises(ClockRefusedError, match="localhost"):
        await ask_one(authority, FakeCoordinator(date=NEXT_YEAR).serve, other)


async def test_plain_http_is_not_even_asked() -> None:
    server = FakeCoordinator(date=NEXT_YEAR)
    async with listening(server.serve) as port:
        with pytest.raises(ClockRefusedError, match="without TLS anybody on the way"):
            await ask(ControlUrl.parse(f"http://127.0.0.1:{port}"))
    assert server.paths == []


async def test_a_redirect_is_not_followed(authority: Authority) -> None:
    server = FakeCoordinator(date=NEXT_YEAR)
    server.key_answer = HttpResponse(302, (("Location", "/elsewhere"),))
    assert (await ask_one(authority, server.serve)).date == NEXT_YEAR
    assert len(server.paths) == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Filler: " + b"x" * 100_000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000,
        HEAD + b"Content-Length: 10\r\n\r\n",
        b"220 mail.test ESMTP\r\n",
        b"",
    ],
    ids=["giant header", "giant body", "cut off", "not HTTP", "nothing"],
)
async def test_an_answer_that_is_none_is_asked_for_again_later(
    authority: Authority, answer: bytes
) -> None:
    with pytest.raises(LaterError, match="cannot be asked for the time"):
        await ask_one(authority, saying(answer))


@pytest.mark.parametrize("date", [b"", b"Date: tomorrow\r\n", b"Date: Sun, 99 Nov 2033\r\n"])
async def test_an_answer_without_a_date_says_no_time(authority: Authority, date: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + date + b"Content-Length: 0\r\n\r\n"
    with pytest.raises(ClockRefusedError, match="does not say what time it is"):
        await ask_one(authority, saying(answer))


async def test_a_server_that_trickles_is_given_up(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.firstboot.servertime.ASK_S", 0.3)

    async def trickle(stream: TcpStream) -> None:
        for byte in HEAD:
            await stream.write(bytes([byte]))
            await asyncio.sleep(0.05)

    with pytest.raises(LaterError, match="did not tell the time"):
        await ask_one(authority, trickle)


async def test_a_server_without_tls_and_one_that_is_away_are_tried_later() -> None:
    async with listening(FakeCoordinator().serve) as port:
        url = ControlUrl.parse(f"https://127.0.0.1:{port}")
        with pytest.raises(LaterError, match="does not speak TLS"):
            await ask(url)
    with pytest.raises(LaterError, match="Connection refused"):
        await ask(url)


async def test_a_name_that_cannot_be_one_is_no_crash() -> None:
    with pytest.raises(LaterError, match="cannot be asked"):
        await ask(ControlUrl.parse(f"https://{'a' * 80}.test"))
