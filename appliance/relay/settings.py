"""The relay's settings file: TOML, read once.

host = "relay.example.org"          # name or address that nodes use
state_directory = "/var/lib/latchkey-relay"
listen = ["[::]:443"]               # HTTPS and DERP
listen_stun = ["[::]:3478"]         # [] switches STUN off
listen_http = []                    # ["[::]:80"] answers captive-portal checks
certificate = "/etc/…/fullchain.pem"    # with key; without both, one is made and kept
key = "/etc/…/privkey.pem"

[admission]                         # exactly one of these
verify_url = "https://coordinator.example.org/verify"
nodes_file = "/etc/latchkey/relay-nodes"     # one nodekey:… a line
anyone = true
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.relay.errors import SettingsError
from appliance.spelling import closest

DEFAULT_STATE_DIRECTORY: Final = Path("/var/lib/latchkey-relay")
DEFAULT_LISTEN: Final = ("[::]:443",)
DEFAULT_LISTEN_STUN: Final = ("[::]:3478",)
MAX_HOST: Final = 253

_KEYS: Final = (
    "host",
    "state_directory",
    "listen",
    "listen_stun",
    "listen_http",
    "certificate",
    "key",
    "admission",
)
_ADMISSION_KEYS: Final = ("verify_url", "nodes_file", "anyone")


@dataclass(frozen=True, slots=True)
class AskCoordinator:
    """Admit the nodes that the coordinator at this URL knows."""

    verify_url: str


@dataclass(frozen=True, slots=True)
class AskFile:
    """Admit the nodes whose keys are in this file."""

    nodes_file: Path


@dataclass(frozen=True, slots=True)
class AdmitAnyone:
    """Admit every node: a relay for the whole internet."""


AdmissionSettings = AskCoordinator | AskFile | AdmitAnyone


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate chain and its private key, renewed by somebody else."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What the file says."""

    host: str
    admission: AdmissionSettings
    state_directory: Path = DEFAULT_STATE_DIRECTORY
    listen: tuple[AddrPort, ...] = ()
    listen_stun: tuple[AddrPort, ...] = ()
    listen_http: tuple[AddrPort, ...] = ()
    certificate: CertificateFiles | None = None
    """None: a self-signed one is made and kept; nodes know it by its hash."""


def load_settings(path: Path) -> RelaySettings:
    """Read the file; a ``SettingsError`` says what is wrong with it."""
    try:
        return parse_settings(path.read_text())
    except OSError as error:
        raise SettingsError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not text in UTF-8.") from None
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


def parse_settings(text: str) -> RelaySettings:
    """Read the text of a settings file."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"This is not TOML: {error}.") from None
    _refuse_unknown(values, _KEYS, "")
    return RelaySettings(
        host=_host(values),
        admission=_admission(values.get("admission")),
        state_directory=Path(_text(values, "state_directory", str(DEFAULT_STATE_DIRECTORY))),
        listen=_addresses(values, "listen", DEFAULT_LISTEN),
        listen_stun=_addresses(values, "listen_stun", DEFAULT_LISTEN_STUN),
        listen_http=_addresses(values, "listen_http", ()),
        certificate=_certificate(values),
    )


def _refuse_unknown(values: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for name in values:
        if name in known:
            continue
        close = closest(name, known)
        hint = f"did you mean {where}{close}?" if close else f"known are {', '.join(known)}."
        raise SettingsError(f"There is no setting {where}{name}; {hint}")


def _host(values: dict[str, Any]) -> str:
    host = _text(values, "host", "")
    if not host or len(host) > MAX_HOST or not host.isprintable() or set(host) & set(" /@[]"):
        raise SettingsError("Set host to the DNS name or IP address that nodes will use.")
    return host


def _text(values: dict[str, Any], name: str, default: str) -> str:
    value = values.get(name, default)
    if not isinstance(value, str):
        raise SettingsError(f"{name} must be text in quotation marks.")
    return value


def _addresses(values: dict[str, Any], name: str, default: tuple[str, ...]) -> tuple[AddrPort, ...]:
    value = values.get(name, list(default))
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SettingsError(f'{name} must be a list such as ["[::]:443"].')
    try:
        return tuple(AddrPort.parse(item) for item in value)
    except ProtocolError as error:
        raise SettingsError(f'{name} must be a list such as ["[::]:443"]: {error}.') from None


def _certificate(values: dict[str, Any]) -> CertificateFiles | None:
    certificate, key = _text(values, "certificate", ""), _text(values, "key", "")
    if bool(certificate) != bool(key):
        raise SettingsError("Set both certificate and key, or neither to have one made.")
    return CertificateFiles(Path(certificate), Path(key)) if certificate else None


def _admission(values: object) -> AdmissionSettings:
    if not isinstance(values, dict):
        values = {}
    _refuse_unknown(values, _ADMISSION_KEYS, "admission.")
    if len(values) != 1:
        raise SettingsError(
            "Say in [admission] who may use this relay, by exactly one of verify_url"
            " (your coordinator's /verify), nodes_file and anyone = true."
        )
    if "anyone" in values:
        if values["anyone"] is not True:
            raise SettingsError("admission.anyone can only be true; leave it away otherwise.")
        return AdmitAnyone()
    if "nodes_file" in values:
        return AskFile(Path(_text(values, "nodes_file", "")))
    url = _text(values, "verify_url", "")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable():
        raise SettingsError("admission.verify_url must be a URL such as https://host/verify.")
    return AskCoordinator(url)
