"""The server and the client talk over a real Unix socket; peer credentials are the kernel's."""

import asyncio
import http.client
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.host.unixsocket import Caller, listen_unix
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import AgentNotRunningError, LocalApiError, NotAllowedError
from appliance.localapi.server import CALLS, BackendError, Role, Trusted, serve_local_api
from appliance.localapi.types import (
    BeCoordinator,
    CoordinatorSettings,
    DoctorReport,
    ExitOption,
    ExitOptions,
    NetcheckReport,
    NetworkFound,
    Networks,
    PingReply,
    Prefs,
    Progress,
    Routes,
    Status,
    Traffic,
    UpRequest,
)


class FakeBackend:
    def __init__(self) -> None:
        self.wishes = Prefs(hostname="box")
        self.ups: list[UpRequest] = []

    def status(self) -> Status:
        return Status(version="1", backend_state="Running")

    def prefs(self) -> Prefs:
        return self.wishes

    async def edit_prefs(self, changes: dict[str, Any]) -> Prefs:
        if "hostname" not in changes:
            raise BackendError("prefs-refused", "Only the host name.")
        self.wishes = Prefs(hostname=changes["hostname"])
        return self.wishes

    async def up(self, request: UpRequest) -> Progress:
        self.ups.append(request)
        return Progress(seq=1, state="Starting")

    async def down(self) -> Progress:
        return Progress(seq=2, state="Stopped")

    async def logout(self) -> Progress:
        return Progress(seq=3, state="NeedsLogin")

    async def watch(self, after: int, timeout_s: float) -> Progress:
        return Progress(seq=after + 1, state=f"waited {timeout_s}")

    async def ping(self, target: str, timeout_s: float) -> PingReply:
        return PingReply(node_name=target, ip="100.64.0.2", latency_s=timeout_s)

    async def netcheck(self) -> NetcheckReport:
        return NetcheckReport(udp=True)

    async def routes(self) -> Routes:
        return Routes()

    async def probe_routes(self, wanted: str) -> Routes:
        raise BackendError("doctor-route", f"No route is {wanted}.")

    def exit_options(self) -> ExitOptions:
        return ExitOptions(options=(ExitOption(name="home"),))

    async def doctor(self, target: str) -> DoctorReport:
        return DoctorReport(target=target, verdict="fine")


class FakeBox:
    def networks(self) -> Networks:
        return Networks(
            networks=(NetworkFound(interface="eth0", kind="wifi", prefix="10.0.0.0/8"),)
        )

    def traffic(self) -> Traffic:
        return Traffic(rx_bytes=(1, 2), tx_bytes=(3, 4))

    async def coordinator(self) -> CoordinatorSettings:
        return CoordinatorSettings(available=True)

    async def be_coordinator(self, request: BeCoordinator) -> CoordinatorSettings:
        return CoordinatorSettings(configured=True, server_url=request.server_url)

    async def stop_coordinator(self) -> CoordinatorSettings:
        raise BackendError("conflict", "Other nodes have joined.")


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[tuple[LocalClient, FakeBackend]]:
    backend = FakeBackend()
    sock = listen_unix(path, 0o666)
    async with asyncio.TaskGroup() as tasks:
        server = tasks.create_task(
            serve_local_api(sock, backend, FakeBox(), Trusted(os.getuid())), name="server"
        )
        yield LocalClient(path), backend
        server.cancel()


async def test_every_call_reaches_the_backend(tmp_path: Path) -> None:
    async with served(tmp_path / "sock") as (client, backend):
        call = asyncio.to_thread
        assert (await call(client.status)).backend_state == "Running"
        assert (await call(client.prefs)).hostname == "box"
        assert (await call(client.edit_prefs, {"hostname": "new"})).hostname == "new"
        request = UpRequest(prefs={"accept_routes": True}, auth_key="k")
        assert (await call(client.up, request)).state == "Starting"
        assert backend.ups == [request]
        assert (await call(client.down)).state == "Stopped"
        assert (await call(client.logout)).state == "NeedsLogin"
        assert (await call(client.watch, 7, 1.5)) == Progress(seq=8, state="waited 1.5")
        assert (await call(client.ping, "home", 2.0)).latency_s == 2.0
        assert (await call(client.netcheck)).udp is True
        assert (await call(client.routes)).routes == ()
        assert (await call(client.exit_options)).options[0].name == "home"
        assert (await call(client.doctor, "a b")).target == "a b"
        with pytest.raises(LocalApiError, match="No route is"):
            await call(client.probe_routes, "10.0.0.0/8")


async def test_what_a_box_is_asked_reaches_the_backend_too(tmp_path: Path) -> None:
    async with served(tmp_path / "sock") as (client, _):
        call = asyncio.to_thread
        assert (await call(client.networks)).networks[0].kind == "wifi"
        assert (await call(client.traffic)).tx_bytes == (3, 4)
        assert (await call(client.coordinator)).available
        request = BeCoordinator(server_url="http://192.168.1.2:8080")
        assert (await call(client.be_coordinator, request)).server_url == request.server_url
        with pytest.raises(LocalApiError, match="have joined") as caught:
            await call(client.stop_coordinator)
        assert caught.value.code == "conflict"


def test_each_user_has_one_role() -> None:
    trusted = Trusted(operator_uid=1000, page_uid=990)
    roles = {uid: trusted.role_of(Caller(1, uid, uid)) for uid in (0, 1000, 990, 33)}
    assert roles == {0: Role.ROOT, 1000: Role.OPERATOR, 990: Role.PAGE, 33: Role.ANYONE}
    assert Trusted().role_of(Caller(1, 990, 990)) is Role.ANYONE


def test_anyone_may_look_and_nobody_but_owners_may_change() -> None:
    owners = {Role.ROOT, Role.OPERATOR, Role.PAGE}
    for (method, path), (_, allowed) in CALLS.items():
        assert allowed == (set(Role) if method == "GET" else owners), path


async def test_a_refusal_keeps_its_code_and_sentence(tmp_path: Path) -> None:
    async with served(tmp_path / "sock") as (client, _):
        with pytest.raises(LocalApiError, match="Only the host name") as caught:
            await asyncio.to_thread(client.edit_prefs, {"x": 1})
        assert caught.value.code == "prefs-refused"


async def test_other_users_may_look_but_not_change(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to act as another user")
    path = tmp_path / "sock"
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)

    def as_nobody() -> int:
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            try:
                LocalClient(path).status()
                LocalClient(path).down()
            except NotAllowedError:
                os._exit(42)
            except BaseException:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    async with served(path):
        assert await asyncio.to_thread(as_nobody) == 42


@pytest.mark.parametrize("header", ["Origin", "Referer"])
async def test_web_pages_are_refused(tmp_path: Path, header: str) -> None:
    def ask() -> int:
        connection = http.client.HTTPConnection("local")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(tmp_path / "sock"))
        connection.request("GET", "/localapi/v0/status", headers={header: "http://evil.example"})
        status = connection.getresponse().status
        connection.close()
        return status

    async with served(tmp_path / "sock"):
        assert await asyncio.to_thread(ask) == 403


def test_nobody_listening_is_said_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(AgentNotRunningError, match="systemctl start"):
        LocalClient(tmp_path / "absent").status()
