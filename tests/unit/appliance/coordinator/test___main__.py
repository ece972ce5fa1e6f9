"""The coordinator program: it starts or says why not, and survives being killed."""

import signal
import socket
from pathlib import Path

import pytest

from appliance.adminapi.types import CreateUser
from appliance.coordinator.__main__ import main
from appliance.coordinator.statedir import StateDir
from appliance.exit_status import ExitStatus
from tests.support.coordinatorprogram import CoordinatorProgram, free_port


def config(tmp_path: Path, more: str = "", tables: str = "") -> list[str]:
    path = tmp_path / "c.toml"
    path.write_text(
        f"""
        server_url = "https://vpn.example.org"
        listen = "127.0.0.1:{free_port()}"
        state_dir = "{tmp_path / "state"}"
        admin_socket = "{tmp_path / "admin.sock"}"
        {more}
        [derp]
        stun_listen = "127.0.0.1:{free_port()}"
        {tables}
        """
    )
    return ["--config", str(path)]


def test_a_settings_file_can_be_checked_without_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*config(tmp_path), "--check"]) == ExitStatus.OK
    assert "is fine" in capsys.readouterr().out
    assert not (tmp_path / "state").exists()


def test_a_policy_file_is_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "policy.hujson"
    policy.write_text('{\n  "acl": []\n}')
    arguments = [*config(tmp_path, f'policy_file = "{policy}"'), "--check"]
    assert main(arguments) == ExitStatus.CONFIG_WRONG
    assert "policy.hujson: line 2, column 10" in capsys.readouterr().err


def test_an_unknown_key_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config(tmp_path, "stat_dir = 1")) == ExitStatus.CONFIG_WRONG
    assert "Did you mean 'state_dir'?" in capsys.readouterr().err


def test_a_port_in_use_ends_it_with_nothing_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = config(tmp_path)
        path = Path(arguments[1])
        path.write_text(
            "\n".join(
                f'listen = "127.0.0.1:{port}"' if line.strip().startswith("listen") else line
                for line in path.read_text().splitlines()
            )
        )
        assert main(arguments) == ExitStatus.PORT_IN_USE
    assert f"port {port}" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "admin.sock").exists()


def test_a_certificate_that_cannot_be_read_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = f'[tls]\ncert = "{tmp_path / "none.pem"}"\nkey = "{tmp_path / "none.key"}"'
    assert main(config(tmp_path, tables=tables)) == ExitStatus.CERTIFICATE_UNREADABLE
    assert "none.pem" in capsys.readouterr().err
    (tmp_path / "none.pem").write_text("no certificate")
    (tmp_path / "none.key").write_text("no key")
    assert main(config(tmp_path, tables=tables)) == ExitStatus.CERTIFICATE_UNREADABLE


def test_a_state_directory_in_use_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = StateDir(tmp_path / "state")
    assert main(config(tmp_path)) == ExitStatus.ALREADY_RUNNING
    assert "Another coordinator" in capsys.readouterr().err
    holder.release()


def test_a_state_directory_that_cannot_be_made_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file")
    assert main(config(tmp_path)) == ExitStatus.STATE_UNUSABLE
    assert str(tmp_path / "state") in capsys.readouterr().err


def test_an_unknown_admin_group_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(config(tmp_path, 'admin_group = "no such group"')) == ExitStatus.CONFIG_WRONG
    assert "groupadd" in capsys.readouterr().err


def test_without_a_relay_to_embed_it_says_how_to_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(config(tmp_path)) == ExitStatus.CONFIG_WRONG
    assert "latchkey coordinator" in capsys.readouterr().err


def test_it_ends_when_asked(tmp_path: Path) -> None:
    with CoordinatorProgram(tmp_path) as program:
        assert program.stop() == ExitStatus.OK
    assert "Stopped." in program.log.read_text()


def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    with CoordinatorProgram(tmp_path) as program:
        for number in range(20):
            program.admin.create_user(CreateUser(name=f"user{number}"))
        key = program.new_key("user3")
        for policy in ("{} // first", "{} // second", '{"acls": []} // wrong', "{} // third"):
            program.admin.set_policy(policy)
        program.admin.revert_policy()
        program.kill()
        program.start()
        assert len(program.admin.users().users) == 20
        policy = program.admin.policy()
        assert (policy.source, policy.text, policy.earlier) == (
            "stored",
            '{"acls": []} // wrong',
            3,
        )
        [kept] = program.admin.preauth_keys().keys
        assert kept.usable
        assert key.rpartition("-")[2] not in program.log.read_text()
        database = b"".join(path.read_bytes() for path in program.state.glob("coordinator.db*"))
        assert key.rpartition("-")[2].encode() not in database


def test_a_broken_policy_is_not_taken_over_and_a_mended_one_is(tmp_path: Path) -> None:
    policy = tmp_path / "policy.hujson"
    policy.write_text("{}")
    program = CoordinatorProgram(tmp_path, policy_file=str(policy))
    with program:
        assert program.process is not None
        for text, outcome in (
            ('{"acl": []}', "was not reloaded"),
            ('{"acls": []}', "Another policy is in force"),
        ):
            policy.write_text(text)
            program.process.send_signal(signal.SIGHUP)
            program.wait_for_log(outcome)
        assert "which this version does not understand" in program.log.read_text()
        assert program.admin.status().users == 0


def test_only_its_own_user_may_open_the_admin_socket(tmp_path: Path) -> None:
    with CoordinatorProgram(tmp_path) as program:
        assert program.socket.stat().st_mode & 0o777 == 0o600


def test_settings_that_are_followed_are_read_again_and_end_it_when_they_go(tmp_path: Path) -> None:
    program = CoordinatorProgram(tmp_path)
    program.start("--follow-config")
    try:
        moved = program.config.read_text().replace("mesh.test", "home.test")
        (tmp_path / "new").write_text(moved)
        (tmp_path / "new").replace(program.config)
        program.wait_until(lambda: program.admin.status().base_domain == "home.test")
        program.config.unlink()
        assert program.process is not None
        assert program.process.wait(10) == ExitStatus.OK
    finally:
        program.kill()
