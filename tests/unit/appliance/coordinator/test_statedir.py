import os
from pathlib import Path

import pytest

from appliance.coordinator.errors import StartError
from appliance.coordinator.statedir import StateDir
from appliance.exit_status import ExitStatus


def test_the_noise_key_is_made_once_and_private(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    key = state.noise_key()
    assert state.noise_key() == key
    assert (tmp_path / "state" / "noise.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    state.release()


def test_a_second_coordinator_is_kept_out(tmp_path: Path) -> None:
    first = StateDir(tmp_path)
    with pytest.raises(StartError, match="Another coordinator uses") as caught:
        StateDir(tmp_path)
    assert caught.value.status is ExitStatus.ALREADY_RUNNING
    first.release()
    StateDir(tmp_path).release()


def test_a_damaged_noise_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "noise.key").write_text("privkey:00")
    state = StateDir(tmp_path)
    with pytest.raises(StartError, match="does not hold a Noise key"):
        state.noise_key()
    state.release()
    assert (tmp_path / "noise.key").read_text() == "privkey:00"


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be used") as caught:
        StateDir(tmp_path / "file" / "state")
    assert caught.value.status is ExitStatus.STATE_UNUSABLE


def test_the_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:  # killed without a word, as by a power cut
        StateDir(tmp_path)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    StateDir(tmp_path).release()
