"""latchkey.toml: what an owner without a screen writes on the boot partition. Pure.

    hostname = "latchkey"                    ssh_keys = ["ssh-ed25519 AAAA… name"]
    [wifi]   country = "DE"   ssid = "Home"   psk = "…"   hidden = false
    [mesh]   login_server = "https://…"   auth_key = "…"   advertise_routes = ["auto"]
             advertise_exit_node = true

Absent means "as it is". Everything is checked before anything is done.
"""

import base64
import binascii
import re
import tomllib
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from appliance.firstboot.errors import ConfigError
from appliance.netmap.prefs import Prefs as MeshPrefs
from appliance.netmap.prefs import PrefsError, edit
from appliance.spelling import closest

FILE: Final = "latchkey.toml"
MAX_BYTES: Final = 64 * 1024
"""Some hundred SSH keys."""
MAX_SSH_KEYS: Final = 50

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SSH_KINDS: Final = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


@dataclass(frozen=True, slots=True)
class Wifi:
    """One Wi-Fi network; without ``psk`` it is an open one."""

    country: str
    ssid: str
    psk: str = field(default="", repr=False)
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Mesh:
    """Which mesh to join and what to offer there; None: as it is."""

    login_server: str = ""
    auth_key: str = field(default="", repr=False)
    advertise_routes: tuple[str, ...] | None = None
    advertise_exit_node: bool | None = None

    def prefs(self) -> dict[str, Any]:
        """Return the wishes as the Local API takes them."""
        changes: dict[str, Any] = {}
        if self.login_server:
            changes["control_url"] = self.login_server
        if self.advertise_routes is not None:
            changes["advertise_routes"] = list(self.advertise_routes)
        if self.advertise_exit_node is not None:
            changes["advertise_exit_node"] = self.advertise_exit_node
        return changes


@dataclass(frozen=True, slots=True)
class BoxConfig:
    """The whole file."""

    hostname: str = ""
    ssh_keys: tuple[str, ...] | None = None
    wifi: Wifi | None = None
    mesh: Mesh | None = None


_TABLES: Final[dict[str, tuple[str, ...]]] = {
    "": ("hostname", "ssh_keys", "wifi", "mesh"),
    "wifi": ("country", "ssid", "psk", "hidden"),
    "mesh": ("login_server", "auth_key", "advertise_routes", "advertise_exit_node"),
}


def parse(data: bytes) -> BoxConfig:
    """Read the file; whatever is wrong with it is one ``ConfigError``."""
    top = _load(data)
    _known(top, "")
    tables = {}
    for name in ("wifi", "mesh"):
        table = top.get(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{FILE}: {name} is a section: write [{name}] on a line of its own.")
        _known(table, name)
        tables[name] = table
    return BoxConfig(
        hostname=_hostname(top),
        ssh_keys=_ssh_keys(top),
        wifi=_wifi(tables["wifi"]) if "wifi" in top else None,
        mesh=_mesh(tables["mesh"]) if "mesh" in top else None,
    )


def without_auth_key(data: bytes) -> bytes:
    """Return the file without its auth key, and otherwise as its owner wrote it."""
    config = parse(data)
    text = data.decode("utf-8-sig")
    shorter = re.sub(
        r"^[ \t]*auth_key[ \t]*=.*$", "# auth_key: used, and removed", text, flags=re.MULTILINE
    ).encode()
    try:
        left = parse(shorter)
    except ConfigError:
        left = config
    if left.mesh is None or left.mesh.auth_key:
        raise ConfigError(
            f"The auth key in {FILE} was used but cannot be removed from it: write it on a line of "
            "its own, or delete the file."
        )
    return shorter


def _load(data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{FILE} is larger than {MAX_BYTES // 1024} KiB: it is some other file.")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(f"{FILE} is in UTF-16: save it as UTF-8.")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError(f"{FILE} is not text in UTF-8: save it as such.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE} cannot be read: {_plain(str(error))}.") from None
    except RecursionError:
        raise ConfigError(f"{FILE} cannot be read: it is nested too deeply.") from None


def _known(table: dict[str, Any], name: str) -> None:
    for key in table:
        if key in _TABLES[name]:
            continue
        where = f" in [{name}]" if name else ""
        raise ConfigError(f"{FILE}: there is no setting {_plain(key)!r}{where}.{_hint(key)}")


def _hint(key: str) -> str:
    homes = {word: table for table, words in _TABLES.items() for word in words}
    close = closest(key, homes)
    if close is None:
        return " latchkey.toml.example lists all."
    home = homes[close]
    return f" Do you mean {close}{f' in [{home}]' if home else ''}?"


def _hostname(top: dict[str, Any]) -> str:
    if "hostname" not in top:
        return ""
    name = _text(top, "hostname").lower()
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{FILE}: hostname may have letters, digits and hyphens, and no more than 63 of them."
        )
    return name


def _ssh_keys(top: dict[str, Any]) -> tuple[str, ...] | None:
    if "ssh_keys" not in top:
        return None
    keys = _texts(top, "ssh_keys")
    if len(keys) > MAX_SSH_KEYS:
        raise ConfigError(f"{FILE}: ssh_keys has more than {MAX_SSH_KEYS} keys.")
    for number, key in enumerate(keys, start=1):
        if not _is_ssh_key(key):
            raise ConfigError(
                f"{FILE}: number {number} of ssh_keys is no public key: copy the line of a .pub "
                'file, as in "ssh-ed25519 AAAA… name".'
            )
    return keys


def _is_ssh_key(text: str) -> bool:
    words = text.split()
    if len(words) < 2 or words[0] not in _SSH_KINDS or not text.isprintable():
        return False
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error:
        return False
    return blob[4:].startswith(words[0].encode()) and int.from_bytes(blob[:4]) == len(words[0])


def _wifi(table: dict[str, Any]) -> Wifi:
    country, ssid = _text(table, "country").upper(), _text(table, "ssid")
    if not re.fullmatch(r"[A-Z]{2}", country):
        raise ConfigError(f'{FILE}: country in [wifi] is two letters, as in "DE".')
    if not 1 <= len(ssid.encode()) <= 32 or not ssid.isprintable():
        raise ConfigError(f"{FILE}: ssid in [wifi] is the network's name, up to 32 characters.")
    psk = _text(table, "psk") if "psk" in table else ""
    is_hex = re.fullmatch(r"[0-9a-fA-F]{64}", psk)
    if psk and not is_hex and not (8 <= len(psk) <= 63 and psk.isascii() and psk.isprintable()):
        raise ConfigError(f"{FILE}: psk in [wifi] is the Wi-Fi's password, 8 to 63 characters.")
    return Wifi(country, ssid, psk, _flag(table, "hidden") or False)


def _mesh(table: dict[str, Any]) -> Mesh:
    server = _text(table, "login_server").rstrip("/") if "login_server" in table else ""
    if server and not _is_server(server):
        raise ConfigError(
            f'{FILE}: login_server is the coordinator\'s address, as in "https://mesh.example.org".'
        )
    key = _text(table, "auth_key") if "auth_key" in table else ""
    if key and (not re.fullmatch(r"[\x21-\x7e]{8,256}", key) or not server):
        raise ConfigError(
            f"{FILE}: auth_key needs login_server beside it."
            if not server
            else f"{FILE}: auth_key is a key of the coordinator's, one word without spaces."
        )
    mesh = Mesh(
        server,
        key,
        _texts(table, "advertise_routes") if "advertise_routes" in table else None,
        _flag(table, "advertise_exit_node"),
    )
    try:
        edit(MeshPrefs(), mesh.prefs())
    except PrefsError as error:
        raise ConfigError(f"{FILE}: {error}") from None
    return mesh


def _is_server(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.path
    except ValueError:
        return False


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key)
    if value is None:
        raise ConfigError(f"{FILE}: {key} is missing.")
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f'{FILE}: {key} is text in quotes, as in {key} = "…".')
    return value.strip() if key != "psk" else value


def _texts(table: dict[str, Any], key: str) -> tuple[str, ...]:
    value = table[key]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f'{FILE}: {key} is a list of texts, as in {key} = ["…"].')
    return tuple(item.strip() for item in value)


def _flag(table: dict[str, Any], key: str) -> bool | None:
    value = table.get(key)
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{FILE}: {key} is true or false, without quotes.")
    return value


def _plain(text: str) -> str:
    """Return what may be shown: one line of printable characters, not too long."""
    return "".join(char if char.isprintable() else "?" for char in text)[:120]
