import msgspec
import pytest

from appliance.adminapi.client import PREFIX, AdminClient
from appliance.adminapi.server import _CALLS, AdminApi, Backend
from appliance.adminapi.types import Failure, ServerStatus
from appliance.aio.http1 import HttpRequest, HttpResponse
from appliance.coordinator.admin import Admin, explain
from tests.support.tailnet import running_realm


def failure(response: HttpResponse) -> Failure:
    return msgspec.json.decode(response.body, type=Failure)


async def ask(request: HttpRequest, *, allowed: bool = True) -> HttpResponse:
    async with running_realm() as realm:
        return await AdminApi(realm.coordinator.admin, explain, allowed=allowed).answer(request)


async def test_an_admin_gets_an_answer() -> None:
    reply = await ask(HttpRequest("GET", f"{PREFIX}/status"))
    assert reply.status == 200
    assert msgspec.json.decode(reply.body, type=ServerStatus).users == 1


async def test_others_get_none() -> None:
    reply = await ask(HttpRequest("GET", f"{PREFIX}/status"), allowed=False)
    assert (reply.status, failure(reply).code) == (403, "not-allowed")


@pytest.mark.parametrize("header", ["Origin", "Referer"])
async def test_a_web_page_may_not_call(header: str) -> None:
    request = HttpRequest("GET", f"{PREFIX}/status", ((header, "http://evil.test"),))
    assert (await ask(request)).status == 403


@pytest.mark.parametrize(
    "body", [b"", b"nonsense", b"[]", b'{"nam":"x"}', b'{"name":1}', b'{"name":"x","admin":true}']
)
async def test_a_body_that_does_not_fit_is_refused(body: bytes) -> None:
    reply = await ask(HttpRequest("POST", f"{PREFIX}/users", (), body))
    assert (reply.status, failure(reply).code) == (400, "invalid")


async def test_a_name_in_a_path_is_decoded_once_and_stays_one_name() -> None:
    reply = await ask(HttpRequest("GET", f"{PREFIX}/nodes/a%2Fb%2525"))
    assert failure(reply).code == "not-found"
    assert "'a/b%25'" in failure(reply).message


async def test_a_fault_of_our_own_is_not_explained_to_the_caller() -> None:
    class Broken:
        async def status(self) -> ServerStatus:
            raise KeyError("secret")

    api = AdminApi(Broken(), explain, allowed=True)
    with pytest.raises(KeyError):
        await api.answer(HttpRequest("GET", f"{PREFIX}/status"))


def test_every_call_reaches_a_method_and_has_one_in_the_client() -> None:
    wanted = {name for name in vars(Backend) if not name.startswith("_")}
    assert {call.name for call in _CALLS} == wanted
    assert all(callable(getattr(Admin, name)) for name in wanted)
    assert all(callable(getattr(AdminClient, name)) for name in wanted)
