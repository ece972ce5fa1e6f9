import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.adminapi.types import PolicyDraft, RevertPolicy
from appliance.coordinator.errors import (
    ConflictError,
    CoordinatorError,
    NotFoundError,
    SettingsError,
    StartError,
)
from appliance.coordinator.model import PolicyRecord, Snapshot
from appliance.coordinator.policies import LocksOutError, stored_policy
from appliance.coordinator.policy.compile import RulePolicy
from appliance.coordinator.policy.engine import AllowAll
from appliance.coordinator.policy.errors import PolicyError
from appliance.coordinator.settings import parse_settings
from tests.support.snapshots import NOW, node, router, snapshot
from tests.support.tailnet import NoStore, Realm, running_realm

MESH = snapshot(node(1), router(2, "192.168.1.0/24"))
OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
SHUT = '{"acls": []} // nobody'


def with_policies(*texts: str) -> Snapshot:
    records = {n: PolicyRecord(n, text, NOW) for n, text in enumerate(texts, 1)}
    return Snapshot(policies=records)


@asynccontextmanager
async def realm_with_file(path: Path) -> AsyncIterator[Realm]:
    settings = parse_settings(
        f'server_url = "https://203.0.113.5"\npolicy_file = {json.dumps(str(path))}'
    )
    async with running_realm(settings, MESH, policy_text=path.read_text()) as realm:
        yield realm


def rules(realm: Realm) -> int:
    view = realm.coordinator.state.view
    return len(view.rules_for(view.snapshot.nodes[2]))


def test_what_was_stored_last_is_in_force() -> None:
    assert isinstance(stored_policy(Snapshot()), AllowAll)
    assert isinstance(stored_policy(with_policies("", SHUT)), RulePolicy)
    assert isinstance(stored_policy(with_policies(SHUT, "")), AllowAll)


def test_a_stored_policy_that_cannot_be_read_ends_the_start() -> None:
    with pytest.raises(StartError, match="name a policy_file"):
        stored_policy(with_policies("", '{"ssh": []}'))


async def test_a_policy_is_in_force_when_it_is_stored_and_until_it_is_reverted() -> None:
    async with running_realm(snapshot=MESH) as realm:
        policies = realm.coordinator.policies
        assert (policies.source, policies.earlier) == ("none", 0)
        await policies.use(OPEN, confirmed=False)
        await policies.use(SHUT, confirmed=True)
        assert (policies.source, policies.text, policies.earlier) == ("stored", SHUT, 2)
        assert rules(realm) == 0
        await policies.revert(confirmed=False)
        assert (policies.text, policies.earlier) == (OPEN, 1)
        assert rules(realm) == 1
        await policies.revert(confirmed=False)
        assert (policies.source, policies.text) == ("none", "")
        with pytest.raises(NotFoundError):
            await policies.revert(confirmed=True)


async def test_the_same_policy_again_is_no_step_to_undo() -> None:
    async with running_realm(snapshot=MESH) as realm:
        for _ in range(2):
            await realm.coordinator.policies.use(OPEN, confirmed=False)
        assert realm.coordinator.policies.earlier == 1


async def test_the_old_policy_stays_on_any_error() -> None:
    class Full(NoStore):
        is_full = False

        def save(self, snapshot: Snapshot) -> None:
            if self.is_full:
                raise CoordinatorError("the disk is full")

    store = Full()
    async with running_realm(snapshot=MESH, store=store) as realm:
        policies = realm.coordinator.policies
        await policies.use(OPEN, confirmed=False)
        before = realm.coordinator.state.view
        with pytest.raises(PolicyError):
            await policies.use("{", confirmed=True)
        with pytest.raises(LocksOutError, match="The old policy stays in force"):
            await policies.use(SHUT, confirmed=False)
        store.is_full = True
        with pytest.raises(CoordinatorError, match="the disk is full"):
            await policies.use(SHUT, confirmed=True)
        with pytest.raises(CoordinatorError, match="the disk is full"):
            await policies.revert(confirmed=True)
        assert realm.coordinator.state.view is before
        assert policies.text == OPEN
        store.is_full = False


async def test_going_back_to_a_policy_that_locks_out_needs_a_word_too() -> None:
    async with running_realm(snapshot=MESH) as realm:
        admin = realm.coordinator.admin
        await admin.set_policy(PolicyDraft(text=SHUT, confirmed=True))
        await admin.set_policy(PolicyDraft(text=OPEN))
        with pytest.raises(LocksOutError):
            await admin.revert_policy(RevertPolicy())
        change = await admin.revert_policy(RevertPolicy(confirmed=True))
        assert change.policy.text == SHUT
        assert change.report.warnings


async def test_only_so_many_policies_are_kept() -> None:
    async with running_realm(snapshot=MESH) as realm:
        policies = realm.coordinator.policies
        for number in range(15):
            await policies.use(f"{OPEN} // {number}", confirmed=False)
        assert policies.earlier == 9
        assert policies.text.endswith("// 14")


async def test_a_policy_file_is_changed_first_and_then_confirmed(tmp_path: Path) -> None:
    file = tmp_path / "policy.hujson"
    file.write_text(OPEN)
    async with realm_with_file(file) as realm:
        policies = realm.coordinator.policies
        assert (policies.source, policies.text, policies.earlier) == ("file", OPEN, 0)
        with pytest.raises(ConflictError, match="change that file"):
            await policies.use(SHUT, confirmed=True)
        file.write_text(SHUT)
        with pytest.raises(LocksOutError):
            await policies.reload()
        assert policies.text == OPEN
        assert rules(realm) == 1
        await policies.use(SHUT, confirmed=True)
        assert policies.text == SHUT
        assert rules(realm) == 0
        with pytest.raises(ConflictError, match="no earlier text is kept"):
            await policies.revert(confirmed=True)
        file.unlink()
        with pytest.raises(SettingsError, match="cannot be read"):
            await policies.reload()
        assert rules(realm) == 0


async def test_a_file_that_did_not_change_is_not_asked_about_again(tmp_path: Path) -> None:
    file = tmp_path / "policy.hujson"
    file.write_text(SHUT)
    async with realm_with_file(file) as realm:
        await realm.coordinator.policies.reload()
        assert rules(realm) == 0


async def test_a_lock_out_at_the_start_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.hujson"
    file.write_text(SHUT)
    async with realm_with_file(file) as realm:
        await realm.coordinator.policies.check(SHUT)
        await realm.coordinator.policies.warn()
    assert "No rule lets a device of alice" in caplog.text
    assert "in force all the same" in caplog.text
