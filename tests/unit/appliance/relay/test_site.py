"""The relay's HTTP paths."""

import pytest

from appliance.aio.http1 import HttpRequest, HttpResponse, Upgrade
from appliance.relay.admission import admit_anyone
from appliance.relay.server import RelayServer
from appliance.relay.site import RelaySite, handle_plain
from tests.support.derp import RELAY
from tests.support.streams import stream_pair


async def ask(method: str, target: str, *headers: tuple[str, str]) -> HttpResponse | Upgrade:
    site = RelaySite(RelayServer(RELAY, admit_anyone))
    return await site.handle(HttpRequest(method, target, headers))


@pytest.mark.parametrize("path", ["/derp/probe", "/derp/latency-check"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_probe_is_answered_for_every_origin(path: str, method: str) -> None:
    answer = await ask(method, path)
    assert isinstance(answer, HttpResponse)
    assert (answer.status, answer.header("Access-Control-Allow-Origin")) == (200, "*")


async def test_a_probe_by_another_method_is_refused() -> None:
    answer = await ask("POST", "/derp/probe")
    assert isinstance(answer, HttpResponse)
    assert answer.status == 405


@pytest.mark.parametrize(
    ("challenge", "response"),
    [
        ("ts_derp.900:a-Z", "response ts_derp.900:a-Z"),
        ("a" * 64, "response " + "a" * 64),
        ("a" * 65, None),
        ("a b", None),
        ("", None),
    ],
)
async def test_a_captive_portal_check_gets_its_challenge_back(
    challenge: str, response: str | None
) -> None:
    answer = await ask("GET", "/generate_204", ("X-Tailscale-Challenge", challenge))
    assert isinstance(answer, HttpResponse)
    assert answer.status == 204
    assert answer.header("X-Tailscale-Response") == response
    assert "no-store" in (answer.header("Cache-Control") or "")


async def test_a_request_that_is_no_upgrade_is_told_so() -> None:
    answer = await ask("GET", "/derp")
    assert isinstance(answer, HttpResponse)
    assert answer.status == 426


async def test_an_upgrade_is_taken_over() -> None:
    assert isinstance(await ask("GET", "/derp", ("Upgrade", "DERP")), Upgrade)


async def test_a_stream_in_memory_cannot_be_taken_over() -> None:
    answer = await ask("GET", "/derp", ("Upgrade", "DERP"))
    assert isinstance(answer, Upgrade)
    with pytest.raises(TypeError):
        await answer.take_over(stream_pair()[0], b"")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/robots.txt", 200), ("/x", 404)])
async def test_people_and_crawlers_get_a_page(path: str, status: int) -> None:
    answer = await ask("GET", path)
    assert isinstance(answer, HttpResponse)
    assert answer.status == status


async def test_a_front_of_others_keeps_its_own_paths() -> None:
    site = RelaySite(RelayServer(RELAY, admit_anyone))
    assert site.answer(HttpRequest("GET", "/key")) is None
    assert site.answer(HttpRequest("GET", "/")) is None


async def test_without_tls_nothing_is_upgraded() -> None:
    request = HttpRequest("GET", "/derp", (("Upgrade", "DERP"),))
    assert (await handle_plain(request)).status == 404
    assert (await handle_plain(HttpRequest("GET", "/generate_204"))).status == 204
