from pathlib import Path

import pytest

from appliance.cli.main import main
from appliance.exit_status import ExitStatus


def test_without_an_agent_the_sentence_says_how_to_start_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["--socket", str(tmp_path / "absent.sock"), "status"])
    assert status == ExitStatus.AGENT_NOT_RUNNING
    assert "systemctl start" in capsys.readouterr().err


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitStatus.USAGE
    assert "exit status" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["up", "set", "status", "ip", "ping", "netcheck", "version"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert "usage: latchkey" in capsys.readouterr().out
