"""Settings and exit statuses are read from the sources."""

import re
import tomllib
from pathlib import Path

from appliance.coordinator.settings import Settings
from appliance.exit_status import ExitStatus
from appliance.netmap.prefs import DEFAULT_PORT
from image.package.settings import Key, read_keys, read_statuses

ROOT = Path(__file__).resolve().parents[4]

SOURCE = '''
class InnerSettings:
    name: str
    """Its name, ``x`` perhaps."""

class Settings:
    port: int = 5
    """A port."""
    on: bool = True
    where: Path = Path("/x")
    inner: InnerSettings = InnerSettings()
    many: tuple[InnerSettings, ...] = ()
    """Several."""
'''


def test_fields_become_keys_and_classes_tables(tmp_path: Path) -> None:
    source = tmp_path / "settings.py"
    source.write_text(SOURCE)
    assert read_keys(source, "Settings") == (
        Key("port", "number", "5", "A port."),
        Key("on", "true or false", "true", ""),
        Key("where", "text", "/x", ""),
        Key("inner.name", "text", "", "Its name, `x` perhaps."),
        Key("[[many]]", "any number of tables", "", "Several."),
        Key("many.name", "text", "", "Its name, `x` perhaps."),
    )


def test_every_exit_status_is_found() -> None:
    found = read_statuses(ROOT / "appliance" / "exit_status.py")
    assert [(number, name) for number, name, _ in found] == [(s.value, s.code) for s in ExitStatus]


def test_every_setting_of_the_coordinator_is_found() -> None:
    keys = read_keys(ROOT / "appliance" / "coordinator" / "settings.py", "Settings")
    tops = {key.name.strip("[]").partition(".")[0] for key in keys}
    assert tops == set(Settings.__struct_fields__)


def shipped(name: str) -> dict[str, object]:
    """What a shipped file would set without its comment signs."""
    text = (ROOT / "image" / "package" / "config" / name).read_text()
    return tomllib.loads("\n".join(re.findall(r"^#(\w+ = .*)$", text, re.MULTILINE)))


def test_the_shipped_settings_of_the_agent_are_its_own() -> None:
    keys = {key.name for key in read_keys(ROOT / "appliance" / "agent" / "settings.py", "Settings")}
    assert set(shipped("agent.toml")) <= keys
    assert shipped("agent.toml")["port"] == DEFAULT_PORT


def test_the_shipped_settings_of_the_page_are_its_own() -> None:
    keys = {key.name for key in read_keys(ROOT / "webui" / "settings.py", "Settings")}
    assert set(shipped("webui.toml")) <= keys
