"""The settings file of the setup page: read once at the start, unknown keys refused with a hint.

    allowed_hosts = ["box.example.org"]   # more names under which the page may be opened
    session_hours = 12

Every key with its default is a field below.
"""

import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from appliance.spelling import hint
from webui.errors import SettingsError

DEFAULT_CONFIG: Final = Path("/etc/latchkey/webui.toml")

MAX_SESSION_HOURS: Final = 24 * 30
"""A month; a page that controls the whole network should ask now and then."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the page keeps things, and whom it talks to."""

    state_dir: Path = Path("/var/lib/latchkey-webui")
    """Password hash and sessions."""
    runtime_dir: Path = Path("/run/latchkey-webui")
    """The claim code."""
    local_socket: Path = Path("/run/latchkey/latchkey.sock")
    admin_socket: Path = Path("/run/latchkey-coordinator/admin.sock")
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the page may be opened, beside the machine's own names and addresses."""
    session_hours: int = 12
    """After how long an owner must log in again, however busy; idle sessions end after two."""


_PATHS: Final = ("state_dir", "runtime_dir", "local_socket", "admin_socket")


def load_settings(path: Path | None = None) -> Settings:
    """Read the file; the default one may be absent. What does not fit is a ``SettingsError``."""
    chosen = path or DEFAULT_CONFIG
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is None:
            return Settings()
        raise SettingsError(f"There is no settings file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {chosen} cannot be read: {error}.") from None
    try:
        return parse_settings(text)
    except SettingsError as error:
        raise SettingsError(f"{chosen}: {error}") from None


def parse_settings(text: str) -> Settings:
    """Read the text of a settings file."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"this is not TOML: {error}.") from None
    names = [field.name for field in fields(Settings)]
    for name in values:
        if name not in names:
            raise SettingsError(f"unknown key {name!r}. {hint(name, names)}")
    return replace(Settings(), **{name: _fit(name, value) for name, value in values.items()})


def _fit(name: str, value: Any) -> Any:
    if name in _PATHS:
        if isinstance(value, str) and value.startswith("/"):
            return Path(value)
        raise SettingsError(f"{name} must be an absolute path.")
    if name == "allowed_hosts":
        if isinstance(value, list) and all(isinstance(host, str) and host for host in value):
            return tuple(host.lower().rstrip(".") for host in value)
        raise SettingsError('allowed_hosts must be a list of names, like ["box.example.org"].')
    if type(value) is int and 1 <= value <= MAX_SESSION_HOURS:
        return value
    raise SettingsError(f"{name} must be a number from 1 to {MAX_SESSION_HOURS}.")
