import io
import json
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from appliance.adminapi.types import Prefixes
from appliance.cli.admin import main
from appliance.exit_status import ExitStatus
from appliance.protocol.tailcfg import Hostinfo
from tests.support.adminbackend import ServedRealm, served_realm

Run = Callable[..., tuple[int, str, str]]

OPEN = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]} // all'
SHUT = '{"acls": [{"action": "accept", "src": ["bob@"], "dst": ["*:*"]}]} // bob only'


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRealm]:
    """A mesh with Alice's laptop and her router."""

    async def join() -> None:
        await found.realm.joined(1, hostname="laptop")
        router = await found.realm.joined(2, hostname="home")
        lan = (ip_network("192.168.1.0/24"),)
        await router.report(hostinfo=Hostinfo(hostname="home", os="linux", routable_ips=lan))
        admin = found.realm.coordinator.admin
        await admin.approve_routes("home", Prefixes(prefixes=("192.168.1.0/24",)))

    with served_realm(tmp_path / "s") as found:
        found.run(join())
        yield found


@pytest.fixture
def run(served: ServedRealm, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["--socket", str(tmp_path / "s"), "policy", *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "policy.hujson"
        path.write_text(text)
        return str(path)

    return write


def in_force(run: Run) -> str:
    return json.loads(run("show", "--json")[1])["text"]


def test_without_a_policy_everything_is_allowed(run: Run) -> None:
    assert run("show") == (0, run("show")[1], "")
    assert "No policy" in run("show")[1]


def test_a_policy_is_set_shown_and_undone(run: Run, file: Callable[[str], str]) -> None:
    status, out, _ = run("set", file(OPEN))
    assert status == 0
    assert "home" in out
    assert "laptop" in out
    assert "policy revert" in out
    assert run("show")[1] == f"{OPEN}\n"
    assert run("revert")[0] == 0
    assert in_force(run) == ""
    status, _, err = run("revert")
    assert status == ExitStatus.NOT_FOUND
    assert "no earlier policy" in err


def test_a_policy_that_locks_the_admins_out_needs_a_word(
    run: Run, file: Callable[[str], str]
) -> None:
    status, out, _ = run("check", file(SHUT))
    assert status == ExitStatus.LOCKS_OUT
    assert "warning: No rule lets a device of alice open connections to home" in out
    assert "note: 'bob' is not a user of this mesh." in out
    status, _, err = run("set", file(SHUT))
    assert status == ExitStatus.LOCKS_OUT
    assert "The old policy stays in force" in err
    assert in_force(run) == ""
    assert run("set", file(SHUT), "--yes")[0] == 0
    assert in_force(run) == SHUT
    assert run("revert")[0] == 0, "the way back locks nobody out"


def test_a_person_at_a_terminal_is_asked(
    run: Run, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    status, _, err = run("set", file(SHUT))
    assert status == ExitStatus.LOCKS_OUT
    assert "[y/N]" in err
    assert in_force(run) == ""
    assert run("set", file(SHUT), "--json")[0] == ExitStatus.LOCKS_OUT, "a script is not asked"
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run("set", file(SHUT))[0] == 0
    assert in_force(run) == SHUT


def test_a_broken_policy_changes_nothing_and_says_where(
    run: Run, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("set", file(OPEN))[0] == 0
    for command in ("check", "set"):
        status, _, err = run(command, file('{\n "acls": [{"action": "deny"}]}'))
        assert status == ExitStatus.INVALID
        assert "policy.hujson: line 2, column 11: acls does not fit" in err
    assert run("set", "/nonexistent")[0] == ExitStatus.INVALID
    monkeypatch.setattr("sys.stdin", io.StringIO("{}"))
    assert run("check", "-", "--json")[0] == 0
    assert in_force(run) == OPEN


def test_a_check_prints_json(run: Run, file: Callable[[str], str]) -> None:
    report = json.loads(run("check", file(OPEN), "--json")[1])
    assert report["admins"] == ["alice"]
    assert report["gateways"] == [
        {
            "node": "home",
            "address": "100.64.0.2",
            "role": "subnet router",
            "reachable_by": ["laptop"],
            "locked_out": False,
        }
    ]
