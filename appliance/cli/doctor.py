"""``doctor``: what is wrong with this node, or why something cannot be reached."""

import argparse
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Final

import msgspec

from appliance.cli import table
from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import AgentNotRunningError, LocalApiError
from appliance.localapi.types import CheckItem, DoctorReport

WIDTH: Final = 80
_COLUMN: Final = 10
_OFFLINE_TIMEOUT_S: Final = 30.0
_MODULES: Final = Path(__file__).resolve().parents[2]
"""Where our modules are; a Debian package has them out of Python's own way."""
_RUN: Final = """\
import sys
sys.path.insert(0, sys.argv.pop(1))
from appliance.__main__ import main
sys.exit(main())
"""

_DESCRIPTION = """\
Without X: list every setting of this machine that its role needs, and every
warning of the catalogue, each with its state and what to do.

With X (a node's name, its address in the mesh, or the address of a host behind
a subnet router): walk the layers in order and name the first broken one:

  name    does a node have this name or address, or a subnet hold it?
  policy  may this node go there?
  key     have the keys not expired?
  online  are both nodes connected?
  path    do packets get to the peer, directly or by relay?
  route   is the subnet advertised, approved, accepted and in use?
  nat     does the router forward and translate?
  lan     does the host itself answer, when the router does?
  clock   does this machine's clock agree with the coordinator's?

A node sees only its own, inbound part of the policy: ask at the destination's
router too. A few packets are sent: DISCO, ICMP echo, the first step of TCP.
It works without a running agent too, as far as that goes.
"""

_EPILOG = """\
states:
  ok; repaired (set by us, goes back on `down`); note (good to know); unknown;
  wrong, refused (something must be done)

exit status:
  0 nothing is broken; 3 the agent is not running; 70 a setting of this machine;
  71 a warning; 72 name; 73 policy; 74 key; 75 not connected; 76 path; 77 route;
  78 NAT or forwarding; 79 the host or its firewall; 80 clock

examples:
  latchkey doctor
  latchkey doctor printer.local
  latchkey doctor 192.168.1.20 --json
"""


def add_commands(commands: Any) -> None:
    """Add ``doctor``."""
    doctor = commands.add_parser(
        "doctor",
        help="find what is wrong, here or on the way to X",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument("target", nargs="?", default="", metavar="X", help="a node or a LAN host")
    doctor.add_argument("--json", action="store_true", help="print everything as JSON")
    add_agent_flags(doctor)
    doctor.set_defaults(run=_run_doctor)


def add_agent_flags(command: argparse.ArgumentParser) -> None:
    """Add what an agent that does not run would have been started with."""
    group = command.add_argument_group("if the agent is not running, and not as by default")
    group.add_argument("--config", metavar="FILE", help="its settings file")
    group.add_argument("--state-dir", metavar="DIR", help="where it keeps its state")
    group.add_argument("--interface", metavar="NAME", help="its tunnel's name")


def agent_command(options: argparse.Namespace, *flags: str) -> list[str]:
    """Return the command line of the agent program for a task of its own."""
    command = [sys.executable, "-c", _RUN, str(_MODULES), "agent", *flags]
    for flag in ("config", "state_dir", "interface"):
        value = getattr(options, flag)
        if value is not None:
            command += [f"--{flag.replace('_', '-')}", value]
    return command


def _run_doctor(client: LocalClient, options: argparse.Namespace) -> int:
    try:
        report = client.doctor(options.target)
    except AgentNotRunningError:
        report = _without_agent(options)
    if options.json:
        print(json.dumps(msgspec.to_builtins(report), indent=2))
    else:
        print(render_report(report), end="")
    return ExitStatus.of(report.code)


def _without_agent(options: argparse.Namespace) -> DoctorReport:
    """Let the agent program say what it can without running as a daemon."""
    command = agent_command(options, "--doctor", options.target)
    try:
        done = subprocess.run(command, capture_output=True, timeout=_OFFLINE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise LocalApiError("The agent is not running.", "agent-not-running") from None
    try:
        return msgspec.json.decode(done.stdout, type=DoctorReport)
    except msgspec.DecodeError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = f" ({table.plain(said[-1])})" if said else ""
        raise LocalApiError(
            f"The agent is not running, and nothing can be said without it{reason}.",
            "agent-not-running",
        ) from None


def render_report(report: DoctorReport) -> str:
    """Render a report for people, at most 80 columns wide; what is fine takes one line."""
    fine = [item for item in report.items if item.layer == "health" and item.state == "ok"]
    lines: list[str] = []
    for item in report.items:
        if item not in fine:
            lines += _render_item(item)
    if fine:
        lines += _wrapped("ok", "No warning of: " + ", ".join(item.name for item in fine) + ".")
    lines += ["", *textwrap.wrap(table.plain(report.verdict), WIDTH, break_on_hyphens=False)]
    return "\n".join(lines) + "\n"


def _render_item(item: CheckItem) -> list[str]:
    text = f"{item.name}: {item.evidence}" if item.evidence else item.name
    lines = _wrapped(item.state, table.plain(text))
    if item.fix:
        lines += _wrapped("", "→ " + table.plain(item.fix))
    return lines


def _wrapped(state: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=state.ljust(_COLUMN),
        subsequent_indent=" " * _COLUMN,
        break_on_hyphens=False,
        break_long_words=False,
    )
