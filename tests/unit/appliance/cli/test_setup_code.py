import argparse
import json
from pathlib import Path

import pytest

from appliance.cli import main as command_line
from appliance.cli import setup_code
from appliance.cli.setup_code import SetupCode, read_code, render
from appliance.localapi.errors import AgentNotRunningError, LocalApiError
from appliance.localapi.types import NetworkFound, Networks
from tests.support.webui import make_page

ADDRESSES = ("http://latchkey.local", "http://192.168.1.5")


class _Agent:
    def networks(self) -> Networks:
        lan = NetworkFound(
            interface="eth0",
            kind="ethernet",
            prefix="192.168.1.0/24",
            addresses=("192.168.1.5", "fd00::5"),
            advertisable=True,
        )
        return Networks(networks=(lan,))


class _NoAgent:
    def networks(self) -> Networks:
        raise AgentNotRunningError("x")


def test_the_code_of_the_setup_page_is_read(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    found = read_code(page.settings.runtime_dir, ADDRESSES, now=2200.0)
    assert found == SetupCode(page.code, 2400, ADDRESSES)


def test_a_person_is_told_where_to_go_and_how_long_it_is_good() -> None:
    text = render(SetupCode("AAAAA-BBBBB", 2400, ADDRESSES))
    assert "http://192.168.1.5/claim?code=AAAAA-BBBBB" in text
    assert "good for 40 more minutes" in text
    assert "1 more minute)" in render(SetupCode("AAAAA-BBBBB", 20, ADDRESSES))


def test_a_code_whose_time_is_over_is_not_shown() -> None:
    text = render(SetupCode("AAAAA-BBBBB", 0, ADDRESSES))
    assert "AAAAA" not in text
    assert "systemctl restart latchkey-webui" in text


def test_without_a_code_it_says_why(tmp_path: Path) -> None:
    with pytest.raises(LocalApiError, match="the box has an owner") as caught:
        read_code(tmp_path, ADDRESSES, now=0.0)
    assert caught.value.code == "conflict"


def test_what_the_files_hold_may_be_nonsense(tmp_path: Path) -> None:
    (tmp_path / setup_code.CODE_FILE).write_text("AAAAA-BBBBB\n")
    (tmp_path / setup_code.UNTIL_FILE).write_text("soon\n")
    with pytest.raises(LocalApiError):
        read_code(tmp_path, ADDRESSES, now=0.0)


def test_addresses_come_from_the_agent_where_it_runs() -> None:
    [name, v4, v6] = setup_code.own_addresses(_Agent(), 80)  # type: ignore[arg-type]
    assert name.endswith(".local")
    assert (v4, v6) == ("http://192.168.1.5", "http://[fd00::5]")
    [only] = setup_code.own_addresses(_NoAgent(), 8080)  # type: ignore[arg-type]
    assert only.endswith(".local:8080")


def test_the_command_prints_json_and_a_qr_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = make_page(tmp_path)
    (page.settings.runtime_dir / setup_code.UNTIL_FILE).write_text("99999999999\n")
    arguments = ["--socket", str(tmp_path / "none"), "setup-code"]
    arguments += ["--runtime-dir", str(page.settings.runtime_dir)]
    assert command_line.main([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["code"] == page.code
    assert answer["links"][0].endswith(f".local/claim?code={page.code}")
    assert command_line.main([*arguments, "--qr"]) == 0
    assert "█" in capsys.readouterr().out


def test_without_a_setup_page_the_command_fails_with_its_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main(["setup-code", "--runtime-dir", str(tmp_path)]) == 63
    assert "latchkey: There is no code" in capsys.readouterr().err


def test_a_reset_leaves_word_and_waits_for_the_new_code(tmp_path: Path) -> None:
    options = argparse.Namespace(state_dir=tmp_path, runtime_dir=tmp_path)
    restarts = []
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        (tmp_path / setup_code.CODE_FILE).touch()

    setup_code.reset(options, lambda: restarts.append(1), pause)
    assert (tmp_path / setup_code.RESET_FILE).exists()
    assert (len(restarts), len(pauses)) == (1, 1)


def test_a_reset_without_a_setup_page_says_so(tmp_path: Path) -> None:
    options = argparse.Namespace(state_dir=tmp_path / "absent", runtime_dir=tmp_path)
    with pytest.raises(LocalApiError, match="There is no setup page here"):
        setup_code.reset(options, lambda: None)
