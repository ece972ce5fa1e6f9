import stat
from pathlib import Path

import pytest

from appliance.agent.errors import AgentError
from appliance.agent.statefile import State, StateStore
from appliance.exit_status import ExitStatus
from appliance.netmap.model import NetworkMap
from tests.support.netmaps import node


def test_the_first_start_makes_keys_that_the_second_finds(tmp_path: Path) -> None:
    first = StateStore(tmp_path / "state").load()
    second = StateStore(tmp_path / "state").load()
    assert first.node == second.node
    assert len({first.machine_key, first.node_key, first.disco_key}) == 3


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = StateStore(tmp_path / "state")
    store.load()
    store.save_netmap(NetworkMap(node(1, "me")))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_the_netmap_comes_back_as_it_was(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    netmap = NetworkMap(node(1, "me"), {2: node(2, "home")}, domain="example.ts")
    store.save_netmap(netmap)
    assert StateStore(tmp_path).load_netmap() == netmap
    store.save_netmap(None)
    assert store.load_netmap() is None


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b'{"machine_key":"privkey:00"}'])
def test_a_damaged_state_is_not_overwritten_but_named(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "state.json").write_bytes(damage)
    with pytest.raises(AgentError, match="damaged") as caught:
        StateStore(tmp_path).load()
    assert caught.value.status is ExitStatus.STATE_UNUSABLE
    assert (tmp_path / "state.json").read_bytes() == damage


def test_a_damaged_netmap_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "netmap.json").write_bytes(b"{")
    assert StateStore(tmp_path).load_netmap() is None


def test_the_state_is_never_printed(tmp_path: Path) -> None:
    state = StateStore(tmp_path).load()
    assert state.node_key not in repr(state)
    assert isinstance(state, State)
