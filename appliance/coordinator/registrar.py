"""Registers nodes: the asyncio half of ``registration``."""

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appliance.coordinator import registration
from appliance.coordinator.auth.pending import ID_BYTES, LIFETIME_S, Pending, PendingTable
from appliance.coordinator.errors import NotFoundError, RefusedError
from appliance.coordinator.hostinfo import introduction
from appliance.coordinator.mapper.nodes import owner_id, render_profile
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.registration import Applicant, Grant, Intent, Terms
from appliance.coordinator.state import State
from appliance.protocol.keys import MachinePublic
from appliance.protocol.tailcfg import Hostinfo, Login, RegisterRequest, RegisterResponse, User

_log = logging.getLogger(__name__)

MAX_WAITING: Final = 512
"""Registrations that wait for an admin on an open connection; more are told to ask again."""

TURNED_AWAY_S: Final = 300.0
"""So soon a device that an admin turned away does not wait again, unless it has a key: stock
clients ask again at once."""
MAX_TURNED_AWAY: Final = 512
"""The oldest is forgotten first."""

_TURNED_AWAY: Final = (
    "An admin turned this device away. Ask again in five minutes, or log in with a pre-auth key."
)


@dataclass(slots=True)
class _Verdict:
    """What became of a pending node; ``done`` is set once it is known."""

    done: asyncio.Event
    rejected: bool = False


class Registrar:
    """Answers registrations, and lets an admin decide about those that wait."""

    def __init__(self, state: State, terms: Terms, url: str, clock: Callable[[], datetime]) -> None:
        self._state = state
        self._terms = terms
        self._url = url
        self._clock = clock
        self._pending = PendingTable()
        self._verdicts: dict[str, _Verdict] = {}
        self._turned_away: dict[MachinePublic, float] = {}
        """Until when."""
        self._waiting = 0

    async def register(
        self, machine_key: MachinePublic, request: RegisterRequest
    ) -> RegisterResponse:
        """Answer one registration; a refusal is an answer with its reason."""
        try:
            return await self._register(machine_key, request)
        except RefusedError as refusal:
            # Strangers cannot fill the log; the refusal is shown on the device itself.
            known = self._state.snapshot.nodes_of_machine(machine_key)
            level = logging.INFO if known else logging.DEBUG
            _log.log(level, "Refused machine %s: %s", machine_key.short, refusal)
            return RegisterResponse(error=str(refusal))

    def pending(self) -> list[Pending]:
        """Return the nodes that wait for an admin, oldest first."""
        self._forget(self._pending.expire(_now()))
        return list(self._pending)

    def find(self, entry_id: str) -> Pending | None:
        """Return one waiting node."""
        return self._pending.get(entry_id, _now())

    async def approve(self, entry_id: str, grant: Grant) -> NodeRecord:
        """Admit a waiting node; it hears of it at once."""
        entry = self._entry(entry_id)
        applicant = Applicant(entry.machine_key, entry.node_key, entry.hostinfo, entry.cap_version)
        node = await self._state.write(
            lambda snapshot, now: registration.admit(snapshot, applicant, grant, self._terms, now)
        )
        self._pending.take(entry_id, _now())
        self._decide(entry_id, rejected=False)
        _log.info("%s joined: an admin approved it.", node.name)
        return node

    def reject(self, entry_id: str) -> None:
        """Turn a waiting node away."""
        entry = self._entry(entry_id)
        self._pending.take(entry_id, _now())
        self._turned_away.pop(entry.machine_key, None)
        self._turned_away[entry.machine_key] = _now() + TURNED_AWAY_S
        if len(self._turned_away) > MAX_TURNED_AWAY:
            del self._turned_away[next(iter(self._turned_away))]
        self._decide(entry_id, rejected=True)

    async def _register(
        self, machine_key: MachinePublic, request: RegisterRequest
    ) -> RegisterResponse:
        snapshot, now = self._state.snapshot, self._clock()
        match registration.judge(snapshot, machine_key, request, now):
            case Intent.LOGOUT:
                await self._log_out(request)
                return RegisterResponse(node_key_expired=True, machine_authorized=True)
            case Intent.RENEW:
                return RegisterResponse(node_key_expired=True, machine_authorized=True)
            case Intent.REFRESH:
                return await self._refresh(request)
            case Intent.ADMIT:
                return await self._admit(machine_key, request)
            case Intent.ASK:
                return await self._ask(machine_key, request)

    async def _log_out(self, request: RegisterRequest) -> None:
        node = self._state.snapshot.node_by_key(request.node_key)
        if node is not None:
            _log.info("%s logged out.", node.name)
            await self._state.write(
                lambda snapshot, now: (
                    registration.log_out(snapshot, request.node_key, now),
                    None,
                )
            )

    async def _refresh(self, request: RegisterRequest) -> RegisterResponse:
        if registration.refresh(self._state.snapshot, request) is not self._state.snapshot:
            await self._state.write(
                lambda snapshot, _now: (registration.refresh(snapshot, request), None)
            )
        return self._success(request)

    async def _admit(
        self, machine_key: MachinePublic, request: RegisterRequest
    ) -> RegisterResponse:
        auth_key = request.auth.auth_key if request.auth else ""
        applicant = _applicant(machine_key, request)

        def admit(snapshot: Snapshot, now: datetime) -> tuple[Snapshot, NodeRecord]:
            # Another registration of the same key may have come in between.
            if registration.judge(snapshot, machine_key, request, now) is not Intent.ADMIT:
                raise RefusedError("This node key has just been registered. Try again.")
            return registration.admit_with_key(snapshot, applicant, auth_key, self._terms, now)

        node = await self._state.write(admit)
        _log.info("%s joined with pre-auth key %s.", node.name, node.preauth_key_id)
        return self._success(request)

    async def _ask(self, machine_key: MachinePublic, request: RegisterRequest) -> RegisterResponse:
        if self._turned_away.get(machine_key, 0.0) > _now():
            raise RefusedError(_TURNED_AWAY)
        entry = self._pending.of_machine(machine_key, _now())
        if entry is None or entry.node_key != request.node_key:
            entry = self._enter(machine_key, request)
        elif request.followup.endswith(f"/{entry.id}") and self._waiting < MAX_WAITING:
            return await self._wait(machine_key, request, entry)
        return RegisterResponse(auth_url=f"{self._url}/register/{entry.id}")

    def _enter(self, machine_key: MachinePublic, request: RegisterRequest) -> Pending:
        entry = Pending(
            id=secrets.token_hex(ID_BYTES),
            machine_key=machine_key,
            node_key=request.node_key,
            hostinfo=introduction(request.hostinfo or Hostinfo()),
            ephemeral=request.ephemeral,
            cap_version=request.version,
            since=_now(),
        )
        self._forget(self._pending.expire(entry.since) + self._pending.add(entry))
        return entry

    async def _wait(
        self, machine_key: MachinePublic, request: RegisterRequest, entry: Pending
    ) -> RegisterResponse:
        verdict = self._verdicts.setdefault(entry.id, _Verdict(asyncio.Event()))
        self._waiting += 1
        try:
            async with asyncio.timeout(entry.since + LIFETIME_S - _now()):
                await verdict.done.wait()
        except TimeoutError:
            self._forget(self._pending.expire(_now()))
        finally:
            self._waiting -= 1
        if verdict.rejected:
            raise RefusedError(_TURNED_AWAY)
        return await self._register(machine_key, request)

    def _entry(self, entry_id: str) -> Pending:
        entry = self._pending.get(entry_id, _now())
        if entry is None:
            raise NotFoundError(
                f"No device waits under {entry_id[:40]!r}. Entries live for a quarter of an hour: "
                "see `latchkey admin nodes pending`, or log in on the device again."
            )
        return entry

    def _decide(self, entry_id: str, *, rejected: bool) -> None:
        verdict = self._verdicts.pop(entry_id, None)
        if verdict is not None:
            verdict.rejected = rejected
            verdict.done.set()

    def _forget(self, entries: list[Pending]) -> None:
        for entry in entries:
            self._decide(entry.id, rejected=False)

    def _success(self, request: RegisterRequest) -> RegisterResponse:
        snapshot = self._state.snapshot
        node = snapshot.node_by_key(request.node_key)
        if node is None:
            raise RefusedError("This node was deleted a moment ago. Log in again.")
        profile = render_profile(snapshot, owner_id(node))
        return RegisterResponse(
            user=User(id=profile.id, display_name=profile.display_name),
            login=Login(
                id=profile.id,
                provider="latchkey",
                login_name=profile.login_name,
                display_name=profile.display_name,
            ),
            machine_authorized=True,
        )


def _applicant(machine_key: MachinePublic, request: RegisterRequest) -> Applicant:
    return Applicant(
        machine_key=machine_key,
        node_key=request.node_key,
        hostinfo=request.hostinfo or Hostinfo(),
        cap_version=request.version,
        ephemeral=request.ephemeral,
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
