"""The control client at work: connects, registers, streams, and begins again when that breaks."""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, Protocol

from appliance.aio.backoff import Backoff
from appliance.aio.connect import Connect, connect_plain
from appliance.aio.latest import Latest
from appliance.controlclient.config import ControlConfig, NodeReport
from appliance.controlclient.conversation import Conversation
from appliance.controlclient.dial import MAX_CLOCK_OFFSET, Dialer
from appliance.controlclient.errors import (
    ControlError,
    ProtocolBrokenError,
    RefusedError,
    UnknownNodeError,
)
from appliance.controlclient.register import (
    Admitted,
    LoginNeeded,
    NodeKeyExpired,
    plan_logout,
    plan_registration,
)
from appliance.controlclient.session import ControlInput, ControlState, next_state
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import KEY_SIZE, DiscoPublic, NodePrivate, NodePublic
from appliance.protocol.tailcfg import EndpointType, Hostinfo, MapResponse, NetInfo, is_set

_log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.2  # a coordinator that restarts is back in less
LONGEST_PAUSE_S: Final = 30.0  # as the reference
REFUSED_PAUSE_S: Final = 300.0  # nothing changes until somebody acts, who can log in again, too
# A map stream that lasted so long was a success; a shorter one may be two nodes with one key.
STEADY_S: Final = 10.0
_LOGOUT_TIMEOUT_S: Final = 10.0


class ControlListener(Protocol):
    """Who hears from the control client."""

    def node_key_renewed(self, key: NodePrivate) -> None:
        """Keep the new node key before it is used; called within the loop."""

    def map_received(self, message: MapResponse, *, first: bool) -> None:
        """Take one message of the map; ``first`` begins a new stream, so a whole new map.

        Keep-alives are not passed on. A ``ProtocolError`` ends the stream.
        """


@dataclass(frozen=True, slots=True)
class ControlStatus:
    """Where the node stands; ``error`` is why the last attempt failed, until one succeeds."""

    state: ControlState = ControlState.LOGGED_OUT
    auth_url: str = ""
    login_name: str = ""
    admitted: bool = False
    """The coordinator has admitted the present node key since this client started."""
    error: ControlError | None = None
    clock_offset: timedelta = timedelta(0)
    """How far the coordinator's clock is ahead, when that is more than a day."""


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the owner wants; ``number`` makes a repeated wish a new one."""

    number: int
    logged_in: bool
    auth_key: str = ""
    renew_node_key: bool = False

    def __repr__(self) -> str:
        return f"<_Wish {self.number} logged_in={self.logged_in} [private]>"


class ControlClient:
    """One node's connection to its coordinator.

    ``log_in`` begins it, before or after ``run`` does; ``run`` lasts until cancelled.
    """

    def __init__(
        self,
        config: ControlConfig,
        node_key: NodePrivate,
        report: NodeReport,
        listener: ControlListener,
        connect: Connect = connect_plain,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.status: Latest[ControlStatus] = Latest(ControlStatus())
        self._config = config
        self._node_key = node_key
        self._old_node_key: NodePublic | None = None
        self._report = Latest(report)
        self._listener = listener
        self._wall_clock = wall_clock
        self._dialer = Dialer(config, connect, wall_clock)
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._hurry = asyncio.Event()
        self._wish = Latest(_Wish(0, logged_in=False))
        self._followup = ""
        self._key_expiry: datetime | None = None
        self._logged_out: Latest[tuple[int, bool]] = Latest((0, False))

    @property
    def node_key(self) -> NodePrivate:
        """The present node key."""
        return self._node_key

    def set_hostinfo(self, hostinfo: Hostinfo) -> None:
        """Replace the node's description."""
        self._report.set(replace(self._report.value, hostinfo=hostinfo))

    def set_endpoints(self, endpoints: tuple[tuple[AddrPort, EndpointType], ...]) -> None:
        """Replace the addresses where peers may reach the node."""
        self._report.set(replace(self._report.value, endpoints=endpoints))

    def set_net_info(self, net_info: NetInfo) -> None:
        """Replace what the node found out about its network."""
        self._report.set(replace(self._report.value, net_info=net_info))

    def set_disco_key(self, disco_key: DiscoPublic) -> None:
        """Replace the node's DISCO key."""
        self._report.set(replace(self._report.value, disco_key=disco_key))

    def log_in(self, auth_key: str = "", *, renew_node_key: bool = False) -> None:
        """Connect and register from the start, also when that is under way or done already."""
        self._wish.set(_Wish(self._wish.value.number + 1, True, auth_key, renew_node_key))

    async def log_out(self) -> bool:
        """Give the node key up, and say whether the coordinator could be told."""
        number = self._wish.value.number + 1
        self._wish.set(_Wish(number, logged_in=False))
        _, told = await self._logged_out.wait_for(lambda done: done[0] >= number)
        return told

    def retry_now(self) -> None:
        """End the pause before the next attempt: the network has changed."""
        self._hurry.set()

    def reconnect(self) -> None:
        """Connect anew at once: the address that the present connection comes from is gone."""
        wish = self._wish.value
        if wish.logged_in:
            self._wish.set(replace(wish, number=wish.number + 1, renew_node_key=False))

    async def run(self) -> None:
        """Do what the owner wishes, until cancelled."""
        async for wish in self._wish.changes():
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._obey(wish), name="control client")
                await self._wait_for_another(wish)
                work.cancel()

    async def _wait_for_another(self, wish: _Wish) -> None:
        await self._wish.wait_for(lambda present: present.number != wish.number)

    async def _obey(self, wish: _Wish) -> None:
        if wish.logged_in:
            await self._stay_logged_in(wish)
        elif wish.number:
            told = await self._give_up_key()
            self._move(ControlInput.LOGGED_OUT, admitted=False, login_name="", error=None)
            self._logged_out.set((wish.number, told))

    async def _stay_logged_in(self, wish: _Wish) -> None:
        self._followup = ""
        self._backoff.reset()
        if wish.renew_node_key:
            self._renew_node_key()
        self._move(ControlInput.LOG_IN, admitted=False, error=None)
        while True:
            pause_s = await self._attempt(wish)
            self._hurry.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._hurry.wait()
            self._move(ControlInput.RETRY)

    async def _attempt(self, wish: _Wish) -> float:
        """Connect and stay connected as long as it lasts; return the pause before the next."""
        try:
            async with self._dialer.open() as client:
                await self._converse(Conversation(client, self._config.url), wish)
        except RefusedError as error:
            self._move(ControlInput.REFUSED, error=error)
            return REFUSED_PAUSE_S
        except UnknownNodeError as error:
            self._move(ControlInput.LOST, admitted=False, error=error)
        except ControlError as error:
            self._move(ControlInput.LOST, error=error)
        return self._backoff.next(random.random())  # noqa: S311 - spreads load

    async def _converse(self, conversation: Conversation, wish: _Wish) -> NoReturn:
        offset = self._dialer.clock_offset
        if abs(offset) <= MAX_CLOCK_OFFSET:
            offset = timedelta(0)
        if self.status.value.admitted:
            self._move(ControlInput.RESUMED, clock_offset=offset)
        else:
            self._move(ControlInput.OPENED, clock_offset=offset)
            await self._register(conversation, wish)
        await self._stream(conversation)

    async def _register(self, conversation: Conversation, wish: _Wish) -> None:
        """Ask until the node key is admitted; a person may have to act meanwhile."""
        renewed = False
        while True:
            request = plan_registration(
                self._report.value,
                self._node_key.public(),
                self._old_node_key,
                wish.auth_key,
                self._followup,
            )
            match await conversation.register(request):
                case Admitted(login_name):
                    self._followup, self._old_node_key = "", None
                    self._move(
                        ControlInput.ADMITTED, admitted=True, login_name=login_name, error=None
                    )
                    return
                case LoginNeeded(auth_url):
                    await self._show_login_page(auth_url)
                case NodeKeyExpired() if renewed:
                    raise ProtocolBrokenError(
                        "The coordinator says that a brand-new node key has expired."
                    )
                case NodeKeyExpired():
                    renewed, self._followup = True, ""
                    self._renew_node_key()
                    self._move(ControlInput.NODE_KEY_EXPIRED)

    async def _show_login_page(self, auth_url: str) -> None:
        again = auth_url == self._followup
        self._followup = auth_url
        self._move(ControlInput.LOGIN_NEEDED, auth_url=auth_url, error=None)
        if again:  # it does not hold our question until somebody has acted
            await asyncio.sleep(self._backoff.next(random.random()))  # noqa: S311

    async def _stream(self, conversation: Conversation) -> NoReturn:
        """Stream the map and report our changes until the connection is lost."""
        clock = asyncio.get_running_loop().time
        began, node_key, first = clock(), self._node_key.public(), True
        try:
            async with asyncio.TaskGroup() as tasks:

                def receive(message: MapResponse) -> None:
                    nonlocal first
                    if message.ping_request:
                        conversation.answer_ping(message.ping_request, tasks)
                    first = self._receive(message, first=first)

                reports = conversation.report_changes(self._report, node_key)
                tasks.create_task(reports, name="control reports")
                await conversation.poll(self._report.value, node_key, receive)
        except ExceptionGroup as group:
            raise _only_failure(group) from None
        finally:
            if clock() - began > STEADY_S:
                self._backoff.reset()

    def _receive(self, message: MapResponse, *, first: bool) -> bool:
        """Take one message; return whether the next one is still the first of its stream."""
        if not message.keep_alive:
            self._listener.map_received(message, first=first)
            first = False
        if message.node:
            self._key_expiry = message.node.key_expiry
        if not first:
            happening = ControlInput.EXPIRED_MAP if self._is_expired() else ControlInput.MAP
            self._move(happening, error=None)
        return first

    def _is_expired(self) -> bool:
        expiry = self._key_expiry
        return expiry is not None and is_set(expiry) and expiry <= self._wall_clock()

    async def _give_up_key(self) -> bool:
        request = plan_logout(self._node_key.public())
        try:
            async with asyncio.timeout(_LOGOUT_TIMEOUT_S), self._dialer.open() as client:
                await Conversation(client, self._config.url).register(request)
        except (ControlError, TimeoutError) as error:
            _log.warning("Logged out here, but the coordinator could not be told: %s", error)
            return False
        return True

    def _renew_node_key(self) -> None:
        self._old_node_key = self._node_key.public()
        self._node_key = NodePrivate.from_seed(secrets.token_bytes(KEY_SIZE))
        self._listener.node_key_renewed(self._node_key)

    def _move(self, happening: ControlInput, **changes: Any) -> None:
        before = self.status.value
        state = next_state(before.state, happening)
        if state is not ControlState.AWAITING_LOGIN:
            changes["auth_url"] = ""
        after = replace(before, state=state, **changes)
        self.status.set(after)
        if after != before:
            _log_change(before, after)


def _only_failure(group: ExceptionGroup[Exception]) -> Exception:
    """Return the failure that matters of tasks that end together."""
    first = group.exceptions[0]
    return (
        first if isinstance(first, ControlError) and group.split(ControlError)[1] is None else group
    )


def _log_change(before: ControlStatus, after: ControlStatus) -> None:
    """Say once what changed for the owner."""
    if after.error and after.error is not before.error:
        if before.error is None or str(after.error) != str(before.error):
            _log.warning("%s", after.error)
    elif after.state is ControlState.RUNNING and before.state is not ControlState.RUNNING:
        _log.info("The coordinator is connected.")
    elif after.auth_url and after.auth_url != before.auth_url:
        _log.info("Somebody must log this node in at %s", after.auth_url)
    if after.clock_offset and after.clock_offset != before.clock_offset:
        _log.warning("The coordinator's clock differs from ours by %s.", after.clock_offset)
