"""``setup-code``: the code that claims this box, where its setup page is, and a way back in.

The setup page writes the code at its start, while nobody owns the box (``webui/claim.py``):
``claim-code`` and ``claim-until`` (seconds since the boot) in its runtime directory. A file
``reset-owner`` in its state directory makes it forget the owner's password when it starts again.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError, NotAllowedError

RUNTIME_DIR: Final = Path("/run/latchkey-webui")
STATE_DIR: Final = Path("/var/lib/latchkey-webui")
CODE_FILE: Final = "claim-code"
UNTIL_FILE: Final = "claim-until"
RESET_FILE: Final = "reset-owner"

RESTART: Final = ("systemctl", "restart", "latchkey-webui")
RESTART_S: Final = 60.0
PATIENCE_S: Final = 15.0
"""How long the page takes to start on the slowest board."""

_DESCRIPTION = """\
Show the code with which a browser claims this box, and where its setup page is.
The code is made when the setup page starts, and is good for an hour.
"""

_EPILOG = """\
exit status:
  0 the code is shown; 4 only root may see it; 63 there is none: the box has an
  owner, or the setup page is not running
"""


@dataclass(frozen=True, slots=True)
class SetupCode:
    """The open door of a box."""

    code: str
    seconds_left: int
    addresses: tuple[str, ...]

    @property
    def links(self) -> tuple[str, ...]:
        """What a browser opens, with the code filled in."""
        return tuple(f"{address}/claim?code={quote(self.code)}" for address in self.addresses)


def add_commands(commands: Any) -> None:
    """Add ``setup-code``."""
    command = commands.add_parser(
        "setup-code",
        help="the code that claims this box in a browser",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--qr", action="store_true", help="draw a QR code, too")
    command.add_argument(
        "--reset", action="store_true", help="forget the owner's password, and make a new code"
    )
    command.add_argument("--port", type=int, default=80, help="the setup page's (%(default)s)")
    command.add_argument(
        "--runtime-dir", type=Path, default=RUNTIME_DIR, metavar="DIR", help="(%(default)s)"
    )
    command.add_argument(
        "--state-dir", type=Path, default=STATE_DIR, metavar="DIR", help="(%(default)s)"
    )
    command.set_defaults(run=_run)


def read_code(directory: Path, addresses: tuple[str, ...], now: float) -> SetupCode:
    """Read what the setup page wrote; ``now`` in seconds since the boot."""
    try:
        code = (directory / CODE_FILE).read_text(encoding="ascii").strip()
        until = float((directory / UNTIL_FILE).read_text(encoding="ascii"))
    except PermissionError:
        raise NotAllowedError("Only root may see the code. Use sudo.") from None
    except (OSError, ValueError):
        raise LocalApiError(
            "There is no code: the box has an owner, or its setup page is not running "
            "(`systemctl status latchkey-webui`). If the password is lost: "
            "`latchkey setup-code --reset`.",
            "conflict",
        ) from None
    return SetupCode(code, max(0, round(until - now)), addresses)


def render(found: SetupCode) -> str:
    """Say it to a person."""
    if not found.seconds_left:
        return (
            "The code's time is over, or too many wrong ones were tried. A new one is made by "
            "`systemctl restart latchkey-webui`, or when the box starts again.\n"
        )
    minutes = max(1, found.seconds_left // 60)
    links = "".join(f"    {link}\n" for link in found.links)
    plural = "" if minutes == 1 else "s"
    return (
        f"To claim this box, open one of these in a browser at home:\n\n{links}\n"
        f"Claim code:  {found.code}   (good for {minutes} more minute{plural})\n"
    )


def reset(
    options: argparse.Namespace,
    restart: Callable[[], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Have the password forgotten; return when the new code is there."""
    try:
        (options.state_dir / RESET_FILE).touch(mode=0o644)
    except PermissionError:
        raise NotAllowedError("Only root may delete the password. Use sudo.") from None
    except OSError as error:
        raise LocalApiError(
            f"There is no setup page here: {options.state_dir} cannot be written "
            f"({error.strerror})."
        ) from None
    (options.runtime_dir / CODE_FILE).unlink(missing_ok=True)
    restart()
    waited = 0.0
    while not (options.runtime_dir / CODE_FILE).exists() and waited < PATIENCE_S:
        pause(0.25)
        waited += 0.25


def own_addresses(client: LocalClient, port: int) -> tuple[str, ...]:
    """Return where the page is: by name, and by every address in a network of this box."""
    hosts = [f"{socket.gethostname().partition('.')[0]}.local"]
    try:
        networks = client.networks().networks
    except LocalApiError:
        networks = ()
    hosts += [a for network in networks if network.advertisable for a in network.addresses]
    suffix = "" if port == 80 else f":{port}"
    return tuple(f"http://{_host(host)}{suffix}" for host in dict.fromkeys(hosts))


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _run(client: LocalClient, options: argparse.Namespace) -> int:
    if options.reset:
        reset(options, _restart)
    addresses = own_addresses(client, options.port)
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = read_code(options.runtime_dir, addresses, now)
    if options.json:
        fields = {
            "code": found.code,
            "seconds_left": found.seconds_left,
            "addresses": found.addresses,
            "links": found.links,
        }
        print(json.dumps(fields, indent=2))
        return 0
    print(render(found), end="")
    if options.qr and found.seconds_left:
        _draw(found.links[-1])
    return 0


def _draw(link: str) -> None:
    try:
        import segno
    except ImportError:
        raise LocalApiError("QR codes need the package python3-segno.") from None
    print()
    segno.make(link, error="l").terminal(out=sys.stdout, compact=True)


def _restart() -> None:
    try:
        done = subprocess.run(RESTART, check=False, timeout=RESTART_S)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        raise LocalApiError(
            "The password is forgotten when the setup page starts again; restarting it failed. "
            "Try `systemctl restart latchkey-webui`."
        )
