from pathlib import Path

import pytest

from appliance.agent.errors import AgentError
from appliance.agent.settings import DataplaneKind, Settings, load, parser
from appliance.exit_status import ExitStatus


def settings(*arguments: str) -> Settings:
    return load(parser().parse_args(list(arguments)))


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('interface = "mesh0"\nport = 4000\ndataplane = "kernel"\n')
    read = settings("--config", str(config), "--port", "5000")
    assert (read.interface, read.port, read.dataplane) == ("mesh0", 5000, DataplaneKind.KERNEL)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('interfase = "x"', "interface"),
        ("port = 0", "port"),
        ('port = "41641"', "port"),
        ('interface = "much-too-long-a-name"', "interface"),
        ("port =", "cannot be read"),
        ('dataplane = "fast"', "fast"),
    ],
)
def test_a_bad_file_is_refused_with_a_hint(tmp_path: Path, text: str, hint: str) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(text)
    with pytest.raises(AgentError, match=hint) as caught:
        settings("--config", str(config))
    assert caught.value.status is ExitStatus.CONFIG_WRONG


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="cannot be read"):
        settings("--config", str(tmp_path / "absent.toml"))


def test_paths_are_read_as_paths(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('coordinator_settings = "/a/c.toml"\nsetup_page_user = "page"\n')
    read = settings("--config", str(config), "--coordinator-socket", "/b/admin.sock")
    assert read.coordinator_settings == Path("/a/c.toml")
    assert read.coordinator_socket == Path("/b/admin.sock")
    assert read.setup_page_user == "page"
