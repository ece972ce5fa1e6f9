"""``latchkey admin policy``: who may reach what, tried before it takes effect."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import PolicyChange, PolicyInfo, PolicyReport
from appliance.cli import table
from appliance.exit_status import ExitStatus

T = TypeVar("T")

_LOCKS_OUT: Final = ExitStatus.LOCKS_OUT.code


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add show, check, set and revert; ``add(name, text, run, show)`` makes a command."""
    add("show", "print the policy in force", lambda c, _o: c.policy(), show_policy)
    check = add("check", "try a policy; nothing changes", _check, show_report)
    check.add_argument("file", metavar="FILE", help="HuJSON; - for standard input")
    check.set_defaults(status=_status_of)
    put = add("set", "put a policy in force", _set, show_change)
    put.add_argument("file", metavar="FILE", help="HuJSON; - for standard input")
    revert = add("revert", "go back to the policy before the present one", _revert, show_change)
    for command in (put, revert):
        command.add_argument(
            "--yes", action="store_true", help="even if it locks the admins out of a gateway"
        )


def show_policy(answer: PolicyInfo) -> str:
    """Print the text as it was given."""
    if not answer.text:
        return "No policy: every node may reach every other, the routes and the exit nodes.\n"
    return answer.text if answer.text.endswith("\n") else f"{answer.text}\n"


def show_report(answer: PolicyReport) -> str:
    """Show which gateways stay within reach, and what is strange."""
    rows = [
        [
            *(g.node, g.address, g.role),
            "NOBODY" if g.locked_out else ", ".join(g.reachable_by) or "-",
        ]
        for g in answer.gateways
    ]
    admins = ", ".join(answer.admins) or "the admins"
    header = ["GATEWAY", "ADDRESS", "ROLE", f"REACHABLE BY DEVICES OF {admins}"]
    lines = [f"warning: {text}\n" for text in answer.warnings]
    lines += [f"note: {text}\n" for text in answer.notes]
    return (table.render(rows, header) if rows else "") + "".join(lines) or "The policy is fine.\n"


def show_change(answer: PolicyChange) -> str:
    """Say what is in force now."""
    what = "No policy is" if answer.policy.source == "none" else "The policy is"
    undo = " `latchkey admin policy revert` undoes it." if answer.policy.earlier else ""
    return f"{show_report(answer.report)}{what} in force.{undo}\n"


def _status_of(answer: PolicyReport) -> int:
    return ExitStatus.LOCKS_OUT if answer.warnings else ExitStatus.OK


def _check(client: AdminClient, options: argparse.Namespace) -> PolicyReport:
    return _about(options.file, lambda text: client.check_policy(text))


def _set(client: AdminClient, options: argparse.Namespace) -> PolicyChange:
    def put(text: str) -> PolicyChange:
        return _confirmed(options, lambda yes: client.set_policy(text, confirmed=yes))

    return _about(options.file, put)


def _revert(client: AdminClient, options: argparse.Namespace) -> Any:
    return _confirmed(options, lambda yes: client.revert_policy(confirmed=yes))


def _confirmed(options: argparse.Namespace, call: Callable[[bool], T]) -> T:
    """Ask a person who sits at a terminal; a script says ``--yes``."""
    try:
        return call(options.yes)
    except AdminApiError as error:
        may_ask = sys.stdin.isatty() and not options.json
        if error.code != _LOCKS_OUT or not may_ask or getattr(options, "file", "") == "-":
            raise
        print(f"latchkey admin: {error}", file=sys.stderr)
        print("Use it all the same? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise AdminApiError("The old policy stays in force.", _LOCKS_OUT) from None
    return call(True)


def _about(file: str, call: Callable[[str], T]) -> T:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AdminApiError(f"{file} cannot be read: {error}.", "invalid") from None
    try:
        return call(text)
    except AdminApiError as error:
        if error.code != "invalid":
            raise
        raise AdminApiError(f"{file}: {error}", error.code) from None
