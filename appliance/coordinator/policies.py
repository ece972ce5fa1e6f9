"""Which policy is in force, and how another one gets there.

It comes from the settings' policy file or, without one, from the database; without either
everything is allowed. A policy is read as a whole and tried on the present nodes first. If it is
wrong, locks the admins out without having been confirmed, or cannot be stored, the old one stays.
None of this is needed to administer: the admin socket knows no policy.
"""

import asyncio
import logging

from appliance.coordinator import edits
from appliance.coordinator.autoapprove import Ourselves
from appliance.coordinator.errors import ConflictError, RefusedError, StartError
from appliance.coordinator.model import PolicyRecord, Snapshot
from appliance.coordinator.policy.check import Verdict, check_policy
from appliance.coordinator.policy.engine import AllowAll, Policy
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.policy.load import policy_of, read_policy
from appliance.coordinator.resolve import addresses_of, own_lans
from appliance.coordinator.state import State
from appliance.exit_status import ExitStatus

_log = logging.getLogger(__name__)


class LocksOutError(RefusedError):
    """A policy that keeps the admins from a gateway; it takes a word of confirmation."""

    code = ExitStatus.LOCKS_OUT.code


def stored_policy(snapshot: Snapshot) -> Policy:
    """Return the policy in the database, or the one that allows everything."""
    record = snapshot.policy
    try:
        return policy_of(record.text) if record and record.text else AllowAll()
    except PolicyError as error:
        raise StartError(
            f"The stored policy cannot be read: {error} It was stored by another version; name a "
            "policy_file in the settings to use that instead.",
            ExitStatus.CONFIG_WRONG,
        ) from None


class Policies:
    """Puts policies in force, one at a time."""

    def __init__(self, state: State, host: str, file: str = "", file_text: str = "") -> None:
        """Take the host that nodes dial, and the policy file with the text now in force."""
        self.file = file
        self._state = state
        self._host = host
        self._file_text = file_text
        self._turn = asyncio.Lock()

    @property
    def stored(self) -> PolicyRecord | None:
        """The newest policy in the database."""
        return self._state.snapshot.policy

    @property
    def source(self) -> str:
        """Where the policy in force comes from: ``file``, ``stored`` or ``none``."""
        if self.file:
            return "file"
        return "stored" if self.stored and self.stored.text else "none"

    @property
    def text(self) -> str:
        """The policy in force; empty where there is none."""
        if self.file:
            return self._file_text
        return self.stored.text if self.stored else ""

    @property
    def earlier(self) -> int:
        """How many policies there are to go back to."""
        return 0 if self.file else max(len(self._state.snapshot.policies) - 1, 0)

    async def check(self, text: str) -> Verdict:
        """Try a policy; nothing changes."""
        return await self._try(await _read(text))

    async def use(self, text: str, *, confirmed: bool) -> Verdict:
        """Put a policy in force; the file's policy must be in the file already."""
        async with self._turn:
            policy = await _read(text)
            await self._check_file(text)
            verdict = await self._permit(policy, confirmed=confirmed)
            if self.file:
                self._file_text = text
            elif text != self.text or self.stored is None:
                await self._state.write(edits.put_policy(text))
            await self._put_in_force(policy, verdict)
            return verdict

    async def revert(self, *, confirmed: bool) -> Verdict:
        """Go back to the policy before the present one."""
        async with self._turn:
            if self.file:
                raise ConflictError(
                    f"The policy comes from {self.file}, of which no earlier text is kept: put it "
                    f"there and run `latchkey admin policy set {self.file}`."
                )
            previous = edits.earlier_policy(self._state.snapshot)
            policy = await _read(previous.text) if previous.text else AllowAll()
            verdict = await self._permit(policy, confirmed=confirmed)
            await self._state.write(edits.drop_policy())
            await self._put_in_force(policy, verdict)
            return verdict

    async def reload(self) -> None:
        """Read the policy file again; an error or a lock-out is raised and changes nothing."""
        if self.file:
            text = await asyncio.to_thread(read_policy, self.file)
            if text != self._file_text:
                await self.use(text, confirmed=False)

    async def warn(self) -> None:
        """Say at the start whom the policy in force locks out."""
        verdict = await self._try(self._state.view.policy)
        for warning in verdict.warnings:
            _log.warning("%s The policy is in force all the same.", warning)

    async def _permit(self, policy: Policy, *, confirmed: bool) -> Verdict:
        verdict = await self._try(policy)
        if verdict.warnings and not confirmed:
            raise LocksOutError(
                " ".join(verdict.warnings) + " The old policy stays in force. To use this one all "
                "the same, confirm it with --yes."
            )
        return verdict

    async def _try(self, policy: Policy) -> Verdict:
        addresses = await addresses_of(self._host)
        if addresses:
            self._state.ourselves = Ourselves(addresses, own_lans)
        return check_policy(self._state.snapshot, policy, addresses)

    async def _put_in_force(self, policy: Policy, verdict: Verdict) -> None:
        await self._state.use_policy(policy)
        _log.info("Another policy is in force.")
        for warning in verdict.warnings:
            _log.warning("%s An admin confirmed it.", warning)

    async def _check_file(self, text: str) -> None:
        if self.file and text != await asyncio.to_thread(read_policy, self.file):
            raise ConflictError(
                f"The settings name the policy file {self.file}: change that file, then run "
                f"`latchkey admin policy set {self.file}`."
            )


async def _read(text: str) -> Policy:
    """Read a policy in a thread: a large one takes longer than a map message may wait."""
    return await asyncio.to_thread(policy_of, text)
