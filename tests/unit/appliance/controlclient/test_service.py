import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from appliance.aio.messages import HttpResponse
from appliance.controlclient import service
from appliance.controlclient.config import ControlConfig, ControlUrl, NodeReport
from appliance.controlclient.errors import (
    NotACoordinatorError,
    ProtocolBrokenError,
    RefusedError,
    UnreachableError,
)
from appliance.controlclient.service import ControlClient, ControlStatus
from appliance.controlclient.session import ControlState
from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import DiscoPublic, MachinePrivate, NodePrivate
from appliance.protocol.tailcfg import (
    EndpointType,
    Hostinfo,
    MapResponse,
    NetInfo,
    PingRequest,
    RegisterResponse,
)
from tests.support.control import FakeCoordinator, listening, self_node

MACHINE = MachinePrivate.from_seed(b"machine key for tests only......")
NODE = NodePrivate.from_seed(b"node key for tests only.........")
REPORT = NodeReport(Hostinfo(hostname="box"), DiscoPublic(b"d" * 32))
ENDPOINT = (AddrPort.parse("192.0.2.1:41641"), EndpointType.STUN)
PAGE = "http://127.0.0.1/register/1"


@dataclass
class Listener:
    """Remembers what it heard."""

    keys: list[NodePrivate] = field(default_factory=list)
    messages: asyncio.Queue[tuple[MapResponse, bool]] = field(default_factory=asyncio.Queue)
    complaint: str = ""

    def node_key_renewed(self, key: NodePrivate) -> None:
        self.keys.append(key)

    def map_received(self, message: MapResponse, *, first: bool) -> None:
        if self.complaint:
            raise ProtocolError(self.complaint)
        self.messages.put_nowait((message, first))


@dataclass
class Node:
    """A running control client and all around it."""

    client: ControlClient
    coordinator: FakeCoordinator
    listener: Listener

    async def until(self, accept: Callable[[ControlStatus], bool]) -> ControlStatus:
        async with asyncio.timeout(5):
            return await self.client.status.wait_for(accept)

    async def until_state(self, state: ControlState) -> ControlStatus:
        return await self.until(lambda status: status.state is state)


@asynccontextmanager
async def joining(
    coordinator: FakeCoordinator, log_in: bool = True, **options
) -> AsyncIterator[Node]:
    listener = Listener()
    async with listening(coordinator.serve) as port:
        config = ControlConfig(ControlUrl.parse(f"http://127.0.0.1:{port}"), MACHINE)
        client = ControlClient(config, NODE, REPORT, listener, **options)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(client.run(), name="control client")
            if log_in:
                client.log_in("lkauth-1")
            yield Node(client, coordinator, listener)
            running.cancel()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.01)


async def test_a_node_with_a_pre_auth_key_joins_and_gets_the_map() -> None:
    async with joining(FakeCoordinator()) as node:
        status = await node.until_state(ControlState.RUNNING)
        assert status.admitted
        assert status.login_name == "alice@tail.test"
        assert status.error is None
        message, first = await node.listener.messages.get()
        assert first
        assert message.node is not None
        [request] = node.coordinator.registrations
        assert request.node_key == NODE.public()
        assert request.auth is not None
        assert request.auth.auth_key == "lkauth-1"


async def test_joining_is_quick() -> None:
    began = time.perf_counter()
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        assert time.perf_counter() - began < 0.5  # about 15 ms on an idle machine


async def test_nothing_happens_before_the_owner_logs_in() -> None:
    async with joining(FakeCoordinator(), log_in=False) as node:
        await asyncio.sleep(0.02)
        assert node.client.status.value == ControlStatus()
        assert node.coordinator.paths == []


async def test_later_messages_are_not_the_first() -> None:
    async with joining(FakeCoordinator()) as node:
        assert (await node.listener.messages.get())[1]
        await node.until_state(ControlState.RUNNING)
        await asyncio.sleep(0.01)
        await node.coordinator.send(MapResponse(keep_alive=True))
        await node.coordinator.send(MapResponse(domain="tail.test"))
        message, first = await node.listener.messages.get()
        assert message.domain == "tail.test"
        assert not first


async def test_changes_are_reported_at_once_and_whole() -> None:
    async with joining(FakeCoordinator()) as node:
        updates = node.coordinator.updates
        assert (await updates.get()).hostinfo == Hostinfo(hostname="box")
        node.client.set_endpoints((ENDPOINT,))
        assert (await updates.get()).endpoints == ("192.0.2.1:41641",)
        node.client.set_net_info(NetInfo(preferred_derp=9))
        node.client.set_hostinfo(Hostinfo(hostname="new"))
        update = await updates.get()
        assert update.hostinfo == Hostinfo(hostname="new", net_info=NetInfo(preferred_derp=9))
        assert update.endpoints == ("192.0.2.1:41641",)
        node.client.set_disco_key(DiscoPublic(b"e" * 32))
        assert (await updates.get()).disco_key == DiscoPublic(b"e" * 32)
        assert updates.empty()


async def test_what_does_not_change_is_not_reported() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.coordinator.updates.get()
        node.client.set_hostinfo(Hostinfo(hostname="box"))
        await asyncio.sleep(0.02)
        assert node.coordinator.updates.empty()


async def test_a_person_logs_the_node_in() -> None:
    coordinator = FakeCoordinator(verdicts=[RegisterResponse(auth_url=PAGE)])
    async with joining(coordinator) as node:
        status = await node.until_state(ControlState.AWAITING_LOGIN)
        assert status.auth_url == PAGE
        coordinator.approved.set()
        status = await node.until_state(ControlState.RUNNING)
        assert status.auth_url == ""
        assert [request.followup for request in coordinator.registrations] == ["", PAGE]
        assert {request.node_key for request in coordinator.registrations} == {NODE.public()}


async def test_a_new_login_page_replaces_the_old_one() -> None:
    verdicts = [RegisterResponse(auth_url=PAGE + str(n)) for n in range(2)]
    coordinator = FakeCoordinator(verdicts=verdicts)
    async with joining(coordinator) as node:
        await node.until(lambda status: status.auth_url == PAGE + "0")
        coordinator.approved.set()
        await node.until_state(ControlState.RUNNING)
        assert [request.followup for request in coordinator.registrations][1:] == [
            PAGE + "0",
            PAGE + "1",
        ]


async def test_a_key_given_while_a_login_page_waits_is_used_at_once() -> None:
    coordinator = FakeCoordinator(verdicts=[RegisterResponse(auth_url=PAGE)])
    async with joining(coordinator) as node:
        await node.until_state(ControlState.AWAITING_LOGIN)
        node.client.log_in("lkauth-2")
        await node.until_state(ControlState.RUNNING)
        last = coordinator.registrations[-1]
        assert last.auth is not None
        assert (last.auth.auth_key, last.followup) == ("lkauth-2", "")


async def test_an_expired_node_key_is_replaced_and_kept_before_its_use() -> None:
    coordinator = FakeCoordinator(verdicts=[RegisterResponse(node_key_expired=True)])
    async with joining(coordinator) as node:
        await node.until_state(ControlState.RUNNING)
        [key] = node.listener.keys
        assert node.client.node_key == key
        last = coordinator.registrations[-1]
        assert (last.node_key, last.old_node_key) == (key.public(), NODE.public())


async def test_a_brand_new_node_key_cannot_have_expired() -> None:
    coordinator = FakeCoordinator(verdicts=[RegisterResponse(node_key_expired=True)] * 2)
    async with joining(coordinator) as node:
        status = await node.until(lambda status: status.error is not None)
        assert isinstance(status.error, ProtocolBrokenError)


async def test_the_owner_may_ask_for_another_node_key() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        node.client.log_in(renew_node_key=True)
        await node.until(lambda status: status.state is not ControlState.RUNNING)
        await node.until_state(ControlState.RUNNING)
        assert node.coordinator.registrations[-1].node_key == node.listener.keys[0].public()
        assert node.coordinator.registrations[-1].old_node_key == NODE.public()


async def test_a_refusal_is_told_with_its_reason_and_not_repeated_soon() -> None:
    coordinator = FakeCoordinator(verdicts=[RegisterResponse(error="authkey expired")])
    async with joining(coordinator) as node:
        status = await node.until_state(ControlState.REFUSED)
        assert isinstance(status.error, RefusedError)
        assert status.error.status is ExitStatus.KEY_EXPIRED
        await asyncio.sleep(0.05)
        assert len(coordinator.registrations) == 1
        node.client.log_in("lkauth-2")
        assert (await node.until_state(ControlState.RUNNING)).error is None


async def test_a_lost_connection_is_made_again_without_registering() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        await node.coordinator.connections[0].close()
        status = await node.until_state(ControlState.WAITING)
        assert isinstance(status.error, UnreachableError)
        assert status.admitted
        status = await node.until_state(ControlState.RUNNING)
        assert status.error is None
        assert len(node.coordinator.registrations) == 1
        assert (await node.listener.messages.get())[1]
        assert (await node.listener.messages.get())[1]


async def test_an_unreachable_coordinator_is_tried_again(unused_tcp_port: int) -> None:
    config = ControlConfig(ControlUrl.parse(f"http://127.0.0.1:{unused_tcp_port}"), MACHINE)
    client = ControlClient(config, NODE, REPORT, Listener())
    client.log_in()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run(), name="control client")
        status = await client.status.wait_for(lambda status: status.error is not None)
        first = status.error
        assert isinstance(first, UnreachableError)
        await client.status.wait_for(lambda status: status.error is not first)
        running.cancel()


async def test_a_changed_network_ends_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 1000.0)
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        await node.coordinator.connections[0].close()
        await node.until_state(ControlState.WAITING)
        await asyncio.sleep(0)
        node.client.retry_now()
        await node.until_state(ControlState.RUNNING)


async def test_a_forgotten_node_registers_again() -> None:
    coordinator = FakeCoordinator(map_status=404)
    async with joining(coordinator) as node:
        status = await node.until(lambda status: status.error is not None)
        assert status.error is not None
        assert "does not know this node" in str(status.error)
        coordinator.map_status = 200
        await node.until_state(ControlState.RUNNING)
        assert len(coordinator.registrations) >= 2


async def test_a_silent_coordinator_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.controlclient.conversation.SILENCE_S", 0.05)
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        status = await node.until_state(ControlState.WAITING)
        assert "silent" in str(status.error)


async def test_keep_alives_keep_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.controlclient.conversation.SILENCE_S", 0.06)
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        for _ in range(5):
            await asyncio.sleep(0.03)
            await node.coordinator.send(MapResponse(keep_alive=True))
        assert node.client.status.value.state is ControlState.RUNNING


async def test_a_map_that_cannot_be_used_is_a_broken_protocol() -> None:
    async with joining(FakeCoordinator(), log_in=False) as node:
        node.listener.complaint = "the first message does not say who this node is"
        node.client.log_in()
        status = await node.until(lambda status: status.error is not None)
        assert isinstance(status.error, ProtocolBrokenError)
        assert "who this node is" in str(status.error)


async def test_an_expired_key_is_told_and_so_is_its_renewal() -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    expired = MapResponse(node=self_node(NODE.public(), key_expiry=past))
    async with joining(FakeCoordinator(messages=[expired])) as node:
        await node.until_state(ControlState.EXPIRED)
        await asyncio.sleep(0.01)
        await node.coordinator.send(MapResponse(node=self_node(NODE.public())))
        await node.until_state(ControlState.RUNNING)


async def test_a_key_that_expires_while_the_map_streams_is_noticed() -> None:
    now = datetime.now(UTC)
    node_ = self_node(NODE.public(), key_expiry=now + timedelta(hours=1))
    clock = [now]
    coordinator = FakeCoordinator(messages=[MapResponse(node=node_)])
    async with joining(coordinator, wall_clock=lambda: clock[0]) as node:
        await node.until_state(ControlState.RUNNING)
        await asyncio.sleep(0.01)
        clock[0] += timedelta(hours=2)
        await coordinator.send(MapResponse(keep_alive=True))
        await node.until_state(ControlState.EXPIRED)


async def test_logging_out_gives_the_key_up() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        assert await node.client.log_out()
        assert node.client.status.value == ControlStatus()
        assert node.coordinator.registrations[-1].expiry < datetime.now(UTC)
        assert node.coordinator.registrations[-1].expiry.year == 1970
        node.client.log_in()
        await node.until_state(ControlState.RUNNING)


async def test_logging_out_works_without_a_coordinator(unused_tcp_port: int) -> None:
    config = ControlConfig(ControlUrl.parse(f"http://127.0.0.1:{unused_tcp_port}"), MACHINE)
    client = ControlClient(config, NODE, REPORT, Listener())
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run(), name="control client")
        assert not await client.log_out()
        running.cancel()


async def test_a_control_ping_is_answered_once() -> None:
    echo = b64encode(b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n").decode()
    ping = PingRequest(url="https://unused/machine/c2n/1", types="c2n", payload=echo)
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        await asyncio.sleep(0.01)
        for _ in range(2):
            await node.coordinator.send(MapResponse(keep_alive=True, ping_request=ping))
        method, path, body = await node.coordinator.pongs.get()
        assert (method, path) == ("POST", "/machine/c2n/1")
        assert body.startswith(b"HTTP/1.1 200 OK")
        await asyncio.sleep(0.02)
        assert node.coordinator.pongs.empty()


async def test_a_ping_that_makes_no_sense_disturbs_nothing() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
        await asyncio.sleep(0.01)
        ping = PingRequest(url="https://[", url_is_noise=True)
        await node.coordinator.send(MapResponse(ping_request=ping))
        await node.coordinator.send(MapResponse(domain="still.here"))
        while (await node.listener.messages.get())[0].domain != "still.here":
            pass
        assert node.client.status.value.state is ControlState.RUNNING


async def test_a_wrong_clock_is_told() -> None:
    coordinator = FakeCoordinator(date=datetime.now(UTC) + timedelta(days=365))
    async with joining(coordinator) as node:
        status = await node.until_state(ControlState.RUNNING)
        assert 363 < status.clock_offset.days < 366


async def test_something_else_at_the_address_is_told() -> None:
    async with joining(FakeCoordinator(key_answer=HttpResponse(404))) as node:
        status = await node.until(lambda status: status.error is not None)
        assert isinstance(status.error, NotACoordinatorError)


async def test_stopping_leaves_nothing_behind() -> None:
    async with joining(FakeCoordinator()) as node:
        await node.until_state(ControlState.RUNNING)
    assert len(asyncio.all_tasks()) == 1


def test_secrets_are_not_printed() -> None:
    wish = service._Wish(1, True, "lkauth-secret")
    assert "secret" not in repr(wish)
