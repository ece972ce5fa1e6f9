"""``latchkey COMMAND``: reads the command line, calls one command, prints, sets the exit status."""

import argparse
import sys
from pathlib import Path

from appliance.cli import connect, doctor, info, prefs, routes, setup_code
from appliance.exit_status import ExitStatus
from appliance.localapi.client import DEFAULT_SOCKET, LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.netmap.prefs import PrefsError

_DESCRIPTION = """\
Reach the devices at home from anywhere, and send traffic out through home, over a WireGuard
mesh that is all your own.

On a node:          up, down, set, status, routes, exit-node, doctor, ip, ping,
                    netcheck, logout, version, setup-code
On the coordinator: admin (users, keys, nodes, routes, policy; see `latchkey admin --help`)
Programs:           agent, coordinator, relay (each with its own --help)
"""

_EPILOG = """\
examples:
  latchkey up --login-server https://mesh.example.org --auth-key file:/root/key
  latchkey set --advertise-routes auto --advertise-exit-node
  latchkey set --accept-routes --exit-node home
  latchkey status --json

exit status:
  0 success; 1 failure, or not running; 2 wrong usage. Every other failure has a number of its
  own (3 agent not running, 10 coordinator unreachable, 23 key expired, 41 port in use ...);
  docs/operating.md lists them all.
"""


def parser() -> argparse.ArgumentParser:
    """Build the parser of the whole command line."""
    root = argparse.ArgumentParser(
        prog="latchkey",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument(
        "--socket", type=Path, default=DEFAULT_SOCKET, metavar="PATH", help="the agent's socket"
    )
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    connect.add_commands(commands)
    prefs.add_commands(commands)
    info.add_commands(commands)
    routes.add_commands(commands)
    doctor.add_commands(commands)
    setup_code.add_commands(commands)
    commands.add_parser("admin", help="run the coordinator: users, keys, nodes, routes")
    return root


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    if arguments[:1] == ["admin"]:
        from appliance.cli.admin import main as admin

        return admin(arguments[1:])
    options = parser().parse_args(arguments)
    if options.command is None:
        parser().print_help()
        return ExitStatus.USAGE
    try:
        return int(options.run(LocalClient(options.socket), options))
    except LocalApiError as error:
        return _fail(str(error), ExitStatus.of(error.code))
    except PrefsError as error:
        return _fail(str(error), error.status)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return ExitStatus.ERROR


def _fail(message: str, status: ExitStatus) -> int:
    print(f"latchkey: {message}", file=sys.stderr)
    return status
