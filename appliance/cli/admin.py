"""``latchkey admin``: users, keys, nodes, routes and policy of the coordinator on this machine."""

import argparse
import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from appliance.adminapi.client import DEFAULT_SOCKET, AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import (
    ApproveNode,
    AskNode,
    CreatePreAuthKey,
    CreateUser,
    Done,
    EditNode,
    ExpireNode,
    PingNode,
)
from appliance.cli import admin_output as output
from appliance.cli import admin_policy
from appliance.exit_status import ExitStatus

_DESCRIPTION = """\
Administer the coordinator on this machine, by its Unix socket. Root may, and the members of its
admin_group. NODE is a node's ID, name or address; USER a user's ID or name.
"""

_EPILOG = """\
examples:
  latchkey admin users create alice
  latchkey admin preauthkeys create --user alice --expiration 1h
  latchkey admin nodes pending
  latchkey admin nodes register 3f9c01ab22d4 --user alice
  latchkey admin routes approve home 192.168.1.0/24 exit
  latchkey admin routes publish home 192.168.1.20
  latchkey admin policy set policy.hujson
  latchkey admin ping laptop home

exit status:
  0 success; 1 failure; 2 wrong usage; 4 not allowed; 5 no answer in time; 31 and 34 a route that
  cannot be approved; 60 the coordinator is not running; 61 refused; 62 no such thing; 63 taken
  already; 64 malformed; 65 a policy that locks the admins out. docs/operating.md lists them all.
"""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")

_Run = Callable[[AdminClient, argparse.Namespace], Any]
_Show = Callable[[Any], str]


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    options = parser().parse_args(arguments)
    client = AdminClient(options.socket)
    try:
        answer = options.run(client, options)
    except AdminApiError as error:
        print(f"latchkey admin: {error}", file=sys.stderr)
        return ExitStatus.of(error.code)
    except KeyboardInterrupt:
        return 130
    try:
        _print(answer, options)
    except BrokenPipeError:
        return ExitStatus.ERROR
    return int(options.status(answer))


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``latchkey admin``."""
    root = argparse.ArgumentParser(
        prog="latchkey admin",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument(
        "--socket",
        type=Path,
        default=DEFAULT_SOCKET,
        metavar="PATH",
        help="the coordinator's admin socket (%(default)s)",
    )
    areas = root.add_subparsers(metavar="AREA", required=True)
    _add_users(_area(areas, "users", "people who own nodes"))
    _add_keys(_area(areas, "preauthkeys", "keys that admit nodes without asking"))
    _add_nodes(_area(areas, "nodes", "devices of the mesh, and those that ask to join"))
    _add_routes(_area(areas, "routes", "subnets and exit nodes: what a node may carry"))
    policy = _area(areas, "policy", "who may reach what")
    admin_policy.add_commands(functools.partial(_command, policy))
    _add_debug(_area(areas, "debug", "look into a connected node"))
    ping = _command(
        areas, "ping", "let NODE ping ADDRESS and say by which path", _ping, output.ping
    )
    ping.add_argument("node", metavar="NODE", help="who pings")
    ping.add_argument("address", metavar="ADDRESS", help="a tailnet address or another node")
    ping.add_argument(
        "--type",
        choices=["disco", "TSMP", "ICMP", "peerapi"],
        default="disco",
        help="(%(default)s)",
    )
    ping.add_argument("--timeout", type=float, default=12.0, metavar="S", help="(%(default)s)")
    _command(areas, "status", "how the coordinator is doing", _status, output.status)
    return root


def _add_users(commands: Any) -> None:
    create = _command(commands, "create", "make a user", _create_user, output.user)
    create.add_argument("name", metavar="NAME")
    create.add_argument("--display-name", default="", metavar="TEXT", help="how others see them")
    _command(commands, "list", "list users", lambda c, _o: c.users(), output.users)
    rename = _command(commands, "rename", "give a user another name", _rename_user, output.user)
    rename.add_argument("user", metavar="USER")
    rename.add_argument("name", metavar="NAME")
    delete = _command(
        commands, "delete", "delete a user without nodes, with their pre-auth keys", _delete_user
    )
    delete.add_argument("user", metavar="USER")


def _add_keys(commands: Any) -> None:
    create = _command(
        commands, "create", "make a key; its text is shown once", _create_key, output.key
    )
    create.add_argument("--user", required=True, metavar="USER", help="who will own the nodes")
    create.add_argument("--reusable", action="store_true", help="admit more than one node")
    create.add_argument(
        "--ephemeral", action="store_true", help="its nodes are deleted when they stay away"
    )
    create.add_argument(
        "--tags",
        type=_tags,
        default=(),
        metavar="TAG,...",
        help="its nodes belong to these tags and not to the user",
    )
    create.add_argument(
        "--expiration",
        type=_lifetime,
        default=3600,
        metavar="TIME",
        help="how long it is good for: 30m, 1h, 7d, or never (default: 1h)",
    )
    _command(commands, "list", "list keys", lambda c, _o: c.preauth_keys(), output.keys)
    revoke = _command(
        commands,
        "revoke",
        "make a key useless; nodes that it admitted stay",
        _revoke_key,
        output.key,
    )
    revoke.add_argument("key", metavar="KEY", help="its ID or its text")


def _add_nodes(commands: Any) -> None:
    _command(commands, "list", "list nodes", lambda c, _o: c.nodes(), output.nodes)
    show = _command(
        commands, "show", "show all of a node", lambda c, o: c.node(o.node), output.node
    )
    show.add_argument("node", metavar="NODE")
    _command(
        commands,
        "pending",
        "list devices that ask to join",
        lambda c, _o: c.pending(),
        output.pending,
    )
    register = _command(commands, "register", "let a device in", _register, output.node)
    register.add_argument("id", metavar="ID", help="from the login page, or `nodes pending`")
    register.add_argument("--user", default="", metavar="USER", help="who owns it")
    register.add_argument("--tags", type=_tags, default=(), metavar="TAG,...", help="or its tags")
    reject = _command(commands, "reject", "turn a device away", lambda c, o: c.reject_pending(o.id))
    reject.add_argument("id", metavar="ID")
    rename = _command(commands, "rename", "give a node another name", _rename_node, output.node)
    rename.add_argument("node", metavar="NODE")
    rename.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="absent: follow its host name again"
    )
    expire = _command(
        commands, "expire", "let a node log in again, now or in some time", _expire, output.node
    )
    expire.add_argument("node", metavar="NODE")
    when = expire.add_mutually_exclusive_group()
    when.add_argument(
        "--in", dest="in_s", type=_duration, default=0, metavar="TIME", help="30m, 1h, 7d (now)"
    )
    when.add_argument("--never", action="store_true", help="the key does not expire")
    delete = _command(
        commands, "delete", "delete a node; it is logged out", lambda c, o: c.delete_node(o.node)
    )
    delete.add_argument("node", metavar="NODE")
    tag = _command(commands, "tag", "let tags own a node in place of its user", _tag, output.node)
    tag.add_argument("node", metavar="NODE")
    tag.add_argument("tags", type=_tags, metavar="TAG,...", help="like tag:server,tag:home")


def _add_routes(commands: Any) -> None:
    _command(commands, "list", "list routes", lambda c, _o: c.routes(), output.routes)
    for name, text in (
        ("approve", "let a node carry routes; `exit` makes it an exit node"),
        ("revoke", "no longer let a node carry routes"),
    ):
        command = _command(commands, name, text, _change_routes, output.routes)
        command.add_argument("node", metavar="NODE")
        command.add_argument(
            "prefixes", metavar="PREFIX", nargs="+", help="like 192.168.1.0/24, or exit"
        )
        command.set_defaults(change=name)
    for name, text in (
        ("publish", "show a LAN host as an address of its router, for clients that take no routes"),
        ("unpublish", "no longer show it"),
    ):
        command = _command(commands, name, text, _change_published, output.node)
        command.add_argument("node", metavar="NODE")
        command.add_argument("address", metavar="IP", help="inside an approved route of NODE")
        command.set_defaults(change=name)


def _add_debug(commands: Any) -> None:
    netmap = _command(
        commands, "netmap", "what a stock client believes of the mesh (always JSON)", _netmap
    )
    netmap.add_argument("node", metavar="NODE")
    ask = _command(commands, "c2n", "let a node serve an HTTP request (always JSON)", _ask)
    ask.add_argument("node", metavar="NODE")
    ask.add_argument("path", metavar="PATH", help="like /debug/prefs")
    ask.add_argument("--method", default="GET", help="(%(default)s)")
    ask.add_argument("--body", default="", metavar="TEXT")


def _area(areas: Any, name: str, text: str) -> Any:
    area = areas.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    return area.add_subparsers(metavar="COMMAND", required=True)


def _command(
    commands: Any, name: str, text: str, run: _Run, show: _Show = output.done
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=run, show=show, status=lambda _answer: ExitStatus.OK)
    return command


def _print(answer: Any, options: argparse.Namespace) -> None:
    if options.json or not isinstance(answer, msgspec.Struct):
        print(json.dumps(msgspec.to_builtins(answer), indent=2))
    elif not isinstance(answer, Done):
        print(options.show(answer), end="")


def _lifetime(text: str) -> int:
    return 0 if text == "never" else _duration(text)


def _duration(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write 30m, 1h or 7d")
    return int(match[1]) * _UNITS[match[2]]


def _tags(text: str) -> tuple[str, ...]:
    return tuple(tag if ":" in tag else f"tag:{tag}" for tag in text.split(",") if tag)


def _status(client: AdminClient, _options: argparse.Namespace) -> Any:
    return client.status()


def _create_user(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.create_user(CreateUser(name=options.name, display_name=options.display_name))


def _rename_user(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.rename_user(options.user, options.name)


def _delete_user(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.delete_user(options.user)


def _create_key(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.create_preauth_key(
        CreatePreAuthKey(
            user=options.user,
            reusable=options.reusable,
            ephemeral=options.ephemeral,
            tags=options.tags,
            lifetime_s=options.expiration,
        )
    )


def _revoke_key(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.revoke_preauth_key(options.key)


def _register(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.approve_pending(options.id, ApproveNode(user=options.user, tags=options.tags))


def _rename_node(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.edit_node(options.node, EditNode(name=options.name))


def _expire(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.expire_node(options.node, ExpireNode(in_s=options.in_s, never=options.never))


def _tag(client: AdminClient, options: argparse.Namespace) -> Any:
    return client.edit_node(options.node, EditNode(tags=options.tags))


def _change_routes(client: AdminClient, options: argparse.Namespace) -> Any:
    call = client.approve_routes if options.change == "approve" else client.revoke_routes
    return call(options.node, tuple(options.prefixes))


def _change_published(client: AdminClient, options: argparse.Namespace) -> Any:
    call = client.publish if options.change == "publish" else client.unpublish
    return call(options.node, options.address)


def _netmap(client: AdminClient, options: argparse.Namespace) -> Any:
    reply = client.ask_node(options.node, AskNode(path="/debug/netmap"))
    if reply.status != 200 or not isinstance(reply.body, dict) or "current" not in reply.body:
        raise AdminApiError(
            f"{options.node} answered {reply.status}: its client does not show its netmap.",
            "refused",
        )
    return reply.body["current"]


def _ask(client: AdminClient, options: argparse.Namespace) -> Any:
    request = AskNode(path=options.path, method=options.method, body=options.body)
    return msgspec.to_builtins(client.ask_node(options.node, request))


def _ping(client: AdminClient, options: argparse.Namespace) -> Any:
    request = PingNode(address=options.address, type=options.type, timeout_s=options.timeout)
    return client.ping(options.node, request)
