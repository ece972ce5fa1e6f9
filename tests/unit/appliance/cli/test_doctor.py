import argparse
import json
import sys
from pathlib import Path

import pytest

from appliance.cli.doctor import WIDTH, agent_command, render_report
from appliance.cli.main import main, parser
from appliance.exit_status import ExitStatus
from appliance.localapi.types import CheckItem, DoctorReport

REPORT = DoctorReport(
    items=(
        CheckItem(layer="profile", name="ip_forward", state="wrong", evidence="0.", fix="Set it."),
        CheckItem(layer="health", name="Exit node offline", state="ok"),
        CheckItem(layer="health", name="Clock wrong", state="ok"),
    ),
    verdict="Broken: profile.",
)


def test_what_is_wrong_has_its_fix_and_what_is_fine_takes_one_line() -> None:
    assert render_report(REPORT).splitlines() == [
        "wrong     ip_forward: 0.",
        "          → Set it.",
        "ok        No warning of: Exit node offline, Clock wrong.",
        "",
        "Broken: profile.",
    ]


def test_a_report_fits_a_terminal_and_cannot_drive_it() -> None:
    item = CheckItem(layer="name", name="n\x1b[2J", state="wrong", evidence="word " * 60)
    text = render_report(DoctorReport(items=(item,), verdict="word " * 60))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text


def test_an_agent_that_does_not_run_gets_the_same_settings() -> None:
    options = argparse.Namespace(config=None, state_dir="/x", interface="mesh0")
    command = agent_command(options, "--clean-up")
    assert command[0] == sys.executable
    assert (Path(command[3]) / "appliance" / "__main__.py").exists()
    assert command[4:] == ["agent", "--clean-up", "--state-dir", "/x", "--interface", "mesh0"]


def test_without_an_agent_it_says_what_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    socket, state = str(tmp_path / "none.sock"), str(tmp_path / "state")
    status = main(["--socket", socket, "doctor", "--json", "--state-dir", state])
    assert status == ExitStatus.AGENT_NOT_RUNNING
    report = json.loads(capsys.readouterr().out)
    assert report["AgentRunning"] is False
    assert report["Items"][0]["Fix"].startswith("Start it")
    assert not (tmp_path / "state").exists(), "looking makes nothing"


@pytest.mark.parametrize("command", ["routes", "exit-node", "doctor", "down", "status"])
def test_the_help_fits_a_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDTH
