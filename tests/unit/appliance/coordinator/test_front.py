import json

import pytest

from appliance.protocol.tailcfg import RegisterResponse
from appliance.version import VERSION
from tests.support.tailnet import SERVER_KEY, running_realm


async def test_the_key_is_told_to_clients_that_speak_noise() -> None:
    async with running_realm() as realm:
        reply = await realm.get("/key?v=131")
        assert reply.status == 200
        assert json.loads(reply.body) == {
            "legacyPublicKey": "mkey:" + "0" * 64,
            "publicKey": SERVER_KEY.public().text(),
        }
        assert (await realm.get("/key?v=38")).body == b""
        for wrong in ("/key", "/key?v=", "/key?v=x", "/key?v=-1", "/key?v=%C2%B2"):
            assert (await realm.get(wrong)).status == 400


@pytest.mark.parametrize(
    ("target", "status", "part"),
    [
        ("/health", 200, b"pass"),
        ("/version", 200, VERSION.encode()),
        ("/robots.txt", 200, b"Disallow: /"),
        ("/generate_204", 204, b""),
        ("/bootstrap-dns?q=x", 200, b"{}"),
        ("/derpmap/default", 200, b'"RegionID":900'),
        ("/", 200, b"latchkey up"),
        ("/register/nothing", 404, b"Nothing waits here"),
        ("/nothing", 404, b"no such page"),
        ("/../etc/passwd", 404, b"no such page"),
    ],
)
async def test_the_small_answers(target: str, status: int, part: bytes) -> None:
    async with running_realm() as realm:
        reply = await realm.get(target)
        assert reply.status == status
        assert part in reply.body


async def test_a_wrong_method_is_told_the_right_one() -> None:
    async with running_realm() as realm:
        assert (await realm.get("/ts2021")).status == 405
        assert (await realm.get("/verify")).status == 405
        assert (await realm.get("/key?v=131", "POST")).status == 405


async def test_an_upgrade_without_a_handshake_is_refused() -> None:
    async with running_realm() as realm:
        assert 400 <= (await realm.get("/ts2021", "POST")).status < 500


async def test_relays_may_ask_whether_a_node_is_known() -> None:
    async with running_realm() as realm:
        node = await realm.node(1)
        question = json.dumps({"NodePublic": node.key.text(), "Source": "192.0.2.1"}).encode()
        assert (await realm.get("/verify", "POST", question)).body == b'{"Allow":false}'
        await node.register(await realm.key())
        assert (await realm.get("/verify", "POST", question)).body == b'{"Allow":true}'
        await realm.coordinator.admin.delete_node("1")
        assert (await realm.get("/verify", "POST", question)).body == b'{"Allow":false}'
        assert (await realm.get("/verify", "POST", b"{}")).status == 400


async def test_the_page_of_a_waiting_device_shows_its_name_harmlessly() -> None:
    async with running_realm() as realm:
        node = await realm.node(1, hostname="<script>alert(1)</script>")
        answer: RegisterResponse = await node.register()
        page = await realm.get(answer.auth_url.removeprefix("https://203.0.113.5"))
        assert page.status == 200
        assert b"<script>" not in page.body
        assert b"&lt;script&gt;" in page.body
        assert page.header("Content-Security-Policy")
