import json
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from appliance.cli.admin import main
from appliance.exit_status import ExitStatus
from appliance.protocol.tailcfg import Hostinfo
from tests.support.adminbackend import ServedRealm, served_realm

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedRealm]:
    with served_realm(tmp_path / "s") as found:
        yield found


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["--socket", str(tmp_path / "s"), *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def advertise(served: ServedRealm, number: int, *prefixes: str) -> None:
    async def go() -> None:
        node = await served.realm.joined(number)
        routes = tuple(ip_network(prefix) for prefix in prefixes)
        info = Hostinfo(hostname=f"node{number}", os="linux", routable_ips=routes)
        await node.report(hostinfo=info)

    served.run(go())


def test_the_first_steps_of_a_new_mesh(served: ServedRealm, run: Run) -> None:
    assert run("users", "create", "bob", "--display-name", "Bob B.")[0] == 0
    status, out, _ = run("preauthkeys", "create", "--user", "bob", "--json")
    assert status == 0
    key = json.loads(out)["key"]
    assert key.startswith("lkauth-")

    async def join() -> None:
        node = await served.realm.node(1)
        assert not (await node.register(key)).error

    served.run(join())
    _, out, _ = run("nodes", "list")
    assert out.splitlines()[0].split() == [
        *("ID", "NAME", "OWNER", "ADDRESS", "STATE", "SYSTEM", "ROUTES")
    ]
    assert out.splitlines()[1].split() == [
        *("1", "node1", "bob", "100.64.0.1", "offline", "linux", "-")
    ]
    [node] = json.loads(run("nodes", "list", "--json")[1])["nodes"]
    assert node["user"] == "bob"


def test_a_new_key_prints_nothing_but_itself(served: ServedRealm, run: Run) -> None:
    _, out, _ = run("preauthkeys", "create", "--user", "alice", "--reusable")
    assert out.count("\n") == 1
    assert out.startswith("lkauth-")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), {"reusable": False, "ephemeral": False, "tags": []}),
        (("--reusable", "--ephemeral"), {"reusable": True, "ephemeral": True}),
        (("--tags", "tag:b,a"), {"tags": ["tag:a", "tag:b"]}),
        (("--expiration", "never"), {"expires": None}),
        (("--expiration", "2d"), {"expires": "2026-05-04T12:00:00Z"}),
    ],
)
def test_keys_are_made_as_asked(
    served: ServedRealm, run: Run, flags: tuple[str, ...], expected: dict
) -> None:
    made = json.loads(run("preauthkeys", "create", "--user", "alice", *flags, "--json")[1])
    assert expected.items() <= made.items()


def test_revoked_keys_are_listed_as_such(served: ServedRealm, run: Run) -> None:
    made = json.loads(run("preauthkeys", "create", "--user", "alice", "--json")[1])
    assert "revoked" in run("preauthkeys", "revoke", made["key"])[1]
    assert "revoked" in run("preauthkeys", "list")[1]


def test_a_waiting_device_is_let_in(served: ServedRealm, run: Run) -> None:
    assert run("nodes", "pending")[1] == "No device asks to join.\n"

    async def ask() -> str:
        node = await served.realm.node(1)
        return (await node.register()).auth_url.rpartition("/")[2]

    entry = served.run(ask())
    assert entry in run("nodes", "pending")[1]
    status, _, err = run("nodes", "register", entry)
    assert status == ExitStatus.INVALID
    assert "whose the device is" in err
    status, out, _ = run("nodes", "register", entry, "--user", "alice")
    assert status == 0
    assert "node1.mesh.test" in out
    assert run("nodes", "reject", entry)[0] == ExitStatus.NOT_FOUND


def test_nodes_are_renamed_tagged_expired_and_deleted(served: ServedRealm, run: Run) -> None:
    advertise(served, 1)
    assert "box.mesh.test" in run("nodes", "rename", "node1", "box")[1]
    assert "node1.mesh.test" in run("nodes", "rename", "box")[1]
    assert "tag:server" in run("nodes", "tag", "1", "server")[1]
    assert "expired" in run("nodes", "expire", "1")[1]
    assert "never" in run("nodes", "expire", "1", "--never")[1]
    assert "2026-05-02 13:00 UTC" in run("nodes", "expire", "1", "--in", "1h")[1]
    assert run("nodes", "delete", "1") == (0, "", "")
    assert run("nodes", "list")[1] == "No nodes yet.\n"


def test_routes_are_approved_published_and_revoked(served: ServedRealm, run: Run) -> None:
    advertise(served, 1, "192.168.1.0/24", "0.0.0.0/0", "::/0")
    status, out, _ = run("routes", "approve", "node1", "192.168.1.0/24", "exit")
    assert status == 0
    assert [line.split()[2:] for line in out.splitlines()[1:]] == [
        ["192.168.1.0/24", "yes", "yes", "yes"],
        ["0.0.0.0/0", "yes", "yes", "yes"],
        ["::/0", "yes", "yes", "yes"],
    ]
    assert "192.168.1.0/24, exit" in run("nodes", "list")[1]
    assert "192.168.1.9" in run("routes", "publish", "1", "192.168.1.9")[1]
    assert "publishes    -" in run("routes", "unpublish", "1", "192.168.1.9")[1]
    assert "no" in run("routes", "revoke", "1", "exit")[1]
    routes = json.loads(run("routes", "list", "--json")[1])["routes"]
    assert [route["approved"] for route in routes] == [True, False, False]


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("routes", "approve", "1", "192.168.1.7/24"), ExitStatus.ROUTE_MALFORMED, "Did you mean"),
        (("nodes", "show", "nobody"), ExitStatus.NOT_FOUND, "There is no node"),
        (("users", "create", "alice"), ExitStatus.CONFLICT, "already"),
        (("users", "create", "a b"), ExitStatus.INVALID, "cannot be a user's name"),
        (("ping", "1", "2"), ExitStatus.NOT_FOUND, "There is no node"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_a_status(
    served: ServedRealm, run: Run, arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (status, "")
    assert sentence in err
    assert err.startswith("latchkey admin: ")
    assert err.count("\n") == 1


def test_without_a_coordinator_it_says_how_to_start_one(run: Run) -> None:
    status, _, err = run("status")
    assert status == ExitStatus.COORDINATOR_NOT_RUNNING
    assert "systemctl start latchkey-coordinator" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("users",),
        ("users", "create"),
        ("preauthkeys", "create"),
        ("preauthkeys", "create", "--user", "a", "--expiration", "soon"),
        ("preauthkeys", "create", "--user", "a", "--expiration", "0h"),
        ("nodes", "expire", "1", "--in", "never"),
    ],
)
def test_a_wrong_command_line_ends_with_usage(arguments: tuple[str, ...], run: Run) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == ExitStatus.USAGE


def test_every_command_explains_itself(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["nodes", "--help"], ["routes", "approve", "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        assert "usage: latchkey admin" in capsys.readouterr().out
