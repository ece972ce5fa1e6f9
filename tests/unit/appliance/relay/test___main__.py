"""The relay program: it starts, says how it can be reached, and ends with a fit status."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.exit_status import ExitStatus
from appliance.relay.__main__ import main

CONFIG = """
host = "127.0.0.1"
state_directory = "{state}"
listen = ["127.0.0.1:0"]
listen_stun = []
[admission]
anyone = true
"""


def write_config(tmp_path: Path, more: str = "") -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(more + CONFIG.format(state=tmp_path / "state"))
    return path


def test_an_unknown_setting_ends_it_with_the_status_for_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = write_config(tmp_path, "hots = 1\n")
    assert main(["--config", str(config)]) == ExitStatus.CONFIG_WRONG
    assert "did you mean host?" in caplog.text


def test_a_state_directory_that_cannot_be_made_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    assert main(["--config", str(write_config(tmp_path))]) == ExitStatus.STATE_UNUSABLE
    assert str(tmp_path / "state") in caplog.text


def test_no_config_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == ExitStatus.USAGE
    assert "--config" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_announces_its_pin_and_ends_when_asked(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "appliance.relay", "--config", str(write_config(tmp_path))]
    errors = tmp_path / "stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, env=os.environ)
        try:
            deadline = time.monotonic() + 20
            while "CertName sha256-raw:" not in errors.read_text():
                assert time.monotonic() < deadline, errors.read_text()
                time.sleep(0.02)
            time.sleep(0.1)
            process.send_signal(number)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in errors.read_text()
    assert "Warning" not in errors.read_text()
