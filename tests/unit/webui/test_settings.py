from pathlib import Path

import pytest

from webui.errors import SettingsError
from webui.settings import Settings, load_settings, parse_settings


def test_an_empty_file_means_the_defaults() -> None:
    assert parse_settings("") == Settings()


def test_values_are_taken_from_the_file() -> None:
    settings = parse_settings('state_dir = "/srv/w"\nallowed_hosts = ["Box.Example.org."]\n')
    assert settings.state_dir == Path("/srv/w")
    assert settings.allowed_hosts == ("box.example.org",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sesion_hours = 3", "unknown key 'sesion_hours'. Did you mean 'session_hours'?"),
        ("zzz = 3", "unknown key 'zzz'. Known: "),
        ("session_hours = 0", "session_hours must be a number from 1 to 720"),
        ("session_hours = true", "session_hours must be a number"),
        ('session_hours = "9"', "session_hours must be a number"),
        ('state_dir = "relative"', "state_dir must be an absolute path"),
        ("state_dir = 3", "state_dir must be an absolute path"),
        ('allowed_hosts = "box"', "allowed_hosts must be a list"),
        ("allowed_hosts = [3]", "allowed_hosts must be a list"),
        ("= 3", "this is not TOML"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_hint(text: str, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence.replace(".", r"\.").replace("?", r"\?")):
        parse_settings(text)


def test_a_file_that_is_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="There is no settings file"):
        load_settings(tmp_path / "absent.toml")


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "webui.toml"
    path.write_text("x = 1")
    with pytest.raises(SettingsError, match=r"webui\.toml: unknown key"):
        load_settings(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "webui.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(path)
