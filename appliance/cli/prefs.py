"""The flags that change prefs, shared by ``up`` and ``set``, and the ``set`` command."""

import argparse
import json
from typing import Any

import msgspec

from appliance.localapi.client import LocalClient
from appliance.netmap.prefs import AUTO, PrefsError

Subparsers = Any


def add_commands(commands: Subparsers) -> None:
    """Add ``set``."""
    command = commands.add_parser(
        "set",
        help="change single wishes of a node",
        description="Change what this node advertises and uses. Flags that are not given stay as "
        "they are.",
    )
    add_flags(command)
    command.add_argument("--json", action="store_true", help="print the resulting prefs")
    command.set_defaults(run=_run_set)


def add_flags(command: argparse.ArgumentParser) -> None:
    """Add one flag for each wish; absent flags change nothing."""
    group = command.add_argument_group("wishes")
    yes_no = YesNo
    group.add_argument(
        "--advertise-routes",
        metavar="CIDR,…",
        help=f"subnets that others reach through this node; `{AUTO}` finds the attached ones; "
        "empty for none",
    )
    group.add_argument(
        "--advertise-exit-node", action=yes_no, default=None, help="carry all traffic of others"
    )
    group.add_argument(
        "--accept-routes", action=yes_no, default=None, help="use the subnets of other nodes"
    )
    group.add_argument(
        "--exit-node",
        metavar="NODE",
        help="send all traffic through this node (name or tailnet address); empty for none",
    )
    group.add_argument(
        "--exit-node-allow-lan-access",
        action=yes_no,
        default=None,
        help="reach the own LAN directly while an exit node is in use",
    )
    group.add_argument(
        "--snat-subnet-routes",
        action=yes_no,
        default=None,
        help="hide the mesh behind this node's address towards its subnets (default)",
    )
    group.add_argument(
        "--shields-up", action=yes_no, default=None, help="let no other node connect to this one"
    )
    group.add_argument(
        "--accept-dns",
        action=yes_no,
        default=None,
        help="look names up through the exit node in use (default); otherwise this machine's "
        "resolver is left alone",
    )
    group.add_argument("--hostname", metavar="NAME", help="this node's name in the mesh")


class YesNo(argparse.Action):
    """``--flag``, ``--no-flag``, and ``--flag=false`` as people write it for the reference."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        negated = [f"--no-{option.removeprefix('--')}" for option in option_strings]
        settings |= {"nargs": "?", "metavar": "true|false"}
        super().__init__([*option_strings, *negated], dest, **settings)

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the wish; anything but a truth value is a usage error."""
        if values not in (None, "true", "false"):
            parser.error(f"{option_string} takes true or false, not {values!r}")
        wish = values != "false"
        negated = (option_string or "").startswith("--no-")
        setattr(namespace, self.dest, wish != negated)


_FLAGS = (
    "advertise_exit_node",
    "accept_routes",
    "exit_node",
    "exit_node_allow_lan_access",
    "snat_subnet_routes",
    "shields_up",
    "accept_dns",
    "hostname",
)


def changes_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the prefs that the given flags change."""
    changes = {
        name: getattr(options, name) for name in _FLAGS if getattr(options, name) is not None
    }
    if options.advertise_routes is not None:
        texts = (text.strip() for text in options.advertise_routes.split(","))
        changes["advertise_routes"] = [text for text in texts if text]
    return changes


def _run_set(client: LocalClient, options: argparse.Namespace) -> int:
    changes = changes_of(options)
    if not changes and not options.json:
        raise PrefsError("Nothing to set. `latchkey set --help` lists what can be changed.")
    prefs = client.edit_prefs(changes)
    if options.json:
        print(json.dumps(msgspec.to_builtins(prefs), indent=2))
    return 0
