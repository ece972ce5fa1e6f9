"""The agent's settings: read once, from the command line over a file over the defaults."""

import argparse
import tomllib
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

from appliance.agent.errors import AgentError
from appliance.exit_status import ExitStatus
from appliance.netmap.prefs import DEFAULT_PORT
from appliance.spelling import hint

DEFAULT_CONFIG = Path("/etc/latchkey/agent.toml")


class DataplaneKind(Enum):
    """Which WireGuard moves the packets."""

    AUTO = "auto"
    """The kernel's, else wireguard-go."""
    KERNEL = "kernel"
    USERSPACE = "userspace"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the agent keeps things, and which device it makes."""

    state_dir: Path = Path("/var/lib/latchkey")
    """Keys, prefs, the last netmap, kernel settings as they were."""
    socket: Path = Path("/run/latchkey/latchkey.sock")
    """The Local API."""
    interface: str = "latchkey0"
    """The tunnel."""
    port: int = DEFAULT_PORT
    """The UDP port of WireGuard, DISCO and STUN (41641)."""
    dataplane: DataplaneKind = DataplaneKind.AUTO
    """``kernel``, ``userspace``, or ``auto``: the kernel's WireGuard where there is one."""
    wireguard_go: Path | None = None
    """The program to use where the kernel has no WireGuard; absent: the best one found."""
    operator: str = ""
    """A user who may change prefs without being root."""
    setup_page_user: str = "latchkey-webui"
    """The user that the setup page runs as, who may do the same; need not exist."""
    coordinator_settings: Path = Path("/var/lib/latchkey-coordinator-settings/coordinator.toml")
    """What is written when the setup page makes this machine a coordinator."""
    coordinator_socket: Path = Path("/run/latchkey-coordinator/admin.sock")
    """Where that coordinator is asked who has joined."""
    verbose: bool = False


_PATHS: Final = frozenset(
    {"state_dir", "socket", "wireguard_go", "coordinator_settings", "coordinator_socket"}
)


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``latchkey agent``."""
    root = argparse.ArgumentParser(
        prog="latchkey agent",
        description="The daemon of a node: keeps the tunnel, the routes and the packet filter. "
        "Needs root, or CAP_NET_ADMIN and CAP_NET_RAW. It does nothing until `latchkey up`.",
        epilog=f"Flags win over the config file ({DEFAULT_CONFIG} when it exists), which has the "
        "same names with underscores: state_dir, socket, interface, port, dataplane, "
        "wireguard_go, operator, setup_page_user, coordinator_settings, coordinator_socket, "
        "verbose.",
    )
    root.add_argument("--config", type=Path, metavar="FILE", help="a TOML file with settings")
    root.add_argument("--state-dir", type=Path, metavar="DIR", help="keys, prefs, last netmap")
    root.add_argument("--socket", type=Path, metavar="PATH", help="the Local API's socket")
    root.add_argument("--interface", metavar="NAME", help="the tunnel's name (latchkey0)")
    root.add_argument("--port", type=int, help=f"the UDP port ({DEFAULT_PORT})")
    root.add_argument("--dataplane", choices=[kind.value for kind in DataplaneKind])
    root.add_argument("--wireguard-go", type=Path, metavar="PATH", help="the userspace WireGuard")
    root.add_argument("--operator", metavar="USER", help="a user who may change prefs")
    root.add_argument("--setup-page-user", metavar="USER", help="the user of the setup page")
    root.add_argument("--coordinator-settings", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    root.add_argument("--coordinator-socket", type=Path, metavar="PATH", help=argparse.SUPPRESS)
    root.add_argument("--verbose", action="store_true", default=None, help="log more")
    root.add_argument(
        "--clean-up",
        action="store_true",
        help="remove every change to this machine that an agent left, and end",
    )
    root.add_argument(
        "--stay-down",
        action="store_true",
        help="with --clean-up: the next agent does not connect by itself",
    )
    root.add_argument(
        "--hold-back",
        action="store_true",
        help="block what belongs into the tunnel of an exit node in use, and end: for boot, before "
        "the network",
    )
    root.add_argument(
        "--doctor",
        metavar="X",
        help="print as JSON what can be said without a running agent, and end (X may be empty)",
    )
    return root


def load(options: argparse.Namespace) -> Settings:
    """Join flags, file and defaults; what does not fit is an ``AgentError``."""
    values = _read(options.config) if options.config else {}
    if options.config is None and DEFAULT_CONFIG.exists():
        values = _read(DEFAULT_CONFIG)
    names = [field.name for field in fields(Settings)]
    given = {name: getattr(options, name) for name in names}
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return _check(replace(Settings(), **{n: _fit(n, value) for n, value in values.items()}))
    except (TypeError, ValueError) as error:
        raise _wrong(f"A setting does not fit: {error}.") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _wrong(f"The config file {path} cannot be read: {error}.") from None
    names = [field.name for field in fields(Settings)]
    for name in values:
        if name not in names:
            raise _wrong(f"{path}: unknown key {name!r}. {hint(name, names)}")
    return values


def _fit(name: str, value: Any) -> Any:
    if name == "dataplane":
        return DataplaneKind(value)
    if name in _PATHS:
        return Path(value)
    expected = {"port": int, "verbose": bool}.get(name, str)
    if type(value) is not expected:
        raise ValueError(f"{name} must be of type {expected.__name__}")
    return value


def _check(settings: Settings) -> Settings:
    if not 1 <= settings.port <= 65535:
        raise _wrong(f"{settings.port} is not a UDP port. Choose one from 1 to 65535.")
    if not 1 <= len(settings.interface.encode()) <= 15 or "/" in settings.interface:
        raise _wrong(f"{settings.interface!r} is not an interface name (1 to 15 characters).")
    return settings


def _wrong(message: str) -> AgentError:
    return AgentError(message, ExitStatus.CONFIG_WRONG)
