"""``up``, ``down`` and ``logout``: joining the mesh and leaving it."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from appliance.cli import doctor, prefs
from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import AgentNotRunningError, LocalApiError
from appliance.localapi.types import Progress, UpRequest
from appliance.netmap.prefs import PrefsError

KEY_VARIABLE = "LATCHKEY_AUTH_KEY"

_DOWN = """\
Disconnect from the mesh. The tunnel, routes, packet filter, kernel settings and
the resolver are put back as they were; the login is kept, and `latchkey up`
connects again. It may be repeated.

With --clean it also works when no agent runs: then everything that an agent
left is removed, also by one that was killed, and the next one stays
disconnected. Files in the state directory (keys, prefs) stay; `latchkey logout`
gives up the login.
"""

_WORDS = {
    "NeedsLogin": "Waiting for a login …",
    "NeedsMachineAuth": "Waiting for an admin to approve this device …",
    "Starting": "Connecting …",
}


def add_commands(commands: Any) -> None:
    """Add ``up``, ``down`` and ``logout``."""
    up = commands.add_parser(
        "up",
        help="connect to the mesh, logging in if need be",
        description="Connect this machine to the mesh. Without a key the coordinator's login page "
        "is shown, or what an admin has to type. Flags that are not given stay as they are.",
    )
    up.add_argument("--login-server", metavar="URL", help="the coordinator, on the first time")
    up.add_argument(
        "--auth-key",
        metavar="KEY",
        help=f"a pre-auth key: file:PATH, - for standard input, or the key itself (which other "
        f"users then see in the process list; {KEY_VARIABLE} in the environment is safer)",
    )
    up.add_argument("--force-reauth", action="store_true", help="log in anew, with a new node key")
    up.add_argument(
        "--timeout", type=float, default=0, metavar="S", help="give up after S seconds; 0 never"
    )
    up.add_argument("--json", action="store_true", help="print each step as one JSON object")
    prefs.add_flags(up)
    up.set_defaults(run=_run_up)

    down = commands.add_parser(
        "down",
        help="disconnect, and undo every change to this machine",
        description=_DOWN,
        epilog="exit status:\n  0 disconnected, nothing is left; 3 the agent is not running "
        "(without\n  --clean); 4 only root may; 40 no right to administer the network",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    down.add_argument(
        "--clean",
        action="store_true",
        help="also when no agent runs, and what a killed one left",
    )
    doctor.add_agent_flags(down)
    down.set_defaults(run=_run_down)

    logout = commands.add_parser(
        "logout",
        help="disconnect and give the login up",
        description="Disconnect and tell the coordinator that this node key is no longer used.",
    )
    logout.set_defaults(run=_run_logout)


def read_key(given: str | None, environment: dict[str, str]) -> str:
    """Return the key behind ``--auth-key`` or the environment; empty when there is none."""
    if given is None:
        return environment.get(KEY_VARIABLE, "").strip()
    if given == "-":
        return sys.stdin.readline().strip()
    if not given.startswith("file:"):
        return given.strip()
    path = Path(given.removeprefix("file:"))
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise PrefsError(f"The key file {path} cannot be read: {reason}.") from None


def _run_up(client: LocalClient, options: argparse.Namespace) -> int:
    changes = prefs.changes_of(options)
    if options.login_server is not None:
        changes["control_url"] = options.login_server
    request = UpRequest(
        prefs=changes,
        auth_key=read_key(options.auth_key, dict(os.environ)),
        force_reauth=options.force_reauth,
    )
    deadline = time.monotonic() + options.timeout if options.timeout else None
    progress = client.up(request)
    shown = ""
    while True:
        shown = _show(progress, shown, as_json=options.json)
        if progress.state == "Running":
            return ExitStatus.OK
        if progress.failure is not None:
            raise LocalApiError(progress.failure.message, progress.failure.code)
        progress = client.watch(progress.seq, _patience_s(deadline))


def _patience_s(deadline: float | None) -> float:
    if deadline is None:
        return 25.0
    left = deadline - time.monotonic()
    if left <= 0:
        raise LocalApiError("Not connected in the time given; the agent goes on trying.", "timeout")
    return min(left, 25.0)


def _show(progress: Progress, shown: str, *, as_json: bool) -> str:
    """Print a step unless it was the last one printed; return what was printed."""
    if as_json:
        text = json.dumps(msgspec.to_builtins(progress))
    elif progress.auth_url:
        text = f"To log in, open:\n\n    {progress.auth_url}\n"
    else:
        text = _WORDS.get(progress.state, "")
    if text and text != shown:
        print(text, flush=True, file=sys.stdout if as_json else sys.stderr)
    return text or shown


def _run_down(client: LocalClient, options: argparse.Namespace) -> int:
    try:
        client.down()
    except AgentNotRunningError:
        if not options.clean:
            raise
        return _clean_without_agent(options)
    return ExitStatus.OK


def _clean_without_agent(options: argparse.Namespace) -> int:
    """Let the agent program undo what an earlier one left; it says itself what goes wrong."""
    command = doctor.agent_command(options, "--clean-up", "--stay-down")
    return subprocess.run(command, check=False).returncode


def _run_logout(client: LocalClient, _options: argparse.Namespace) -> int:
    client.logout()
    return ExitStatus.OK
