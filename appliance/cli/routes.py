"""``routes`` and ``exit-node``: what leads where, and how that is known."""

import argparse
import json
import textwrap
from typing import Any, Final

import msgspec

from appliance.cli import table
from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import ExitOption, ExitOptions, Fact, Routes, RouteStatus

WIDTH: Final = 80
_INDENT: Final = " " * 17

_ROUTES = """\
Show every subnet and exit node that this node offers or could use, with four
facts each:

  advertised  its router offers it now. A subnet whose network is unplugged or
              renumbered is withdrawn, so that others fall back to their own.
  approved    the coordinator lets peers use it.
  serving     everything that this machine must do for it is in place: at the
              router the LAN's interface, forwarding, the packet filter and the
              coordinator's choice of this node; at a client the route itself.
  proven      something went through it and came back: at the router a
              connection of a peer that was answered, at a client a probe.
"""

_PROBE = """\
Send a few packets through routes of peers that this node uses: an ICMP echo to
the usual addresses behind the router, and where all are silent the first step
of a TCP connection. Whatever comes back from behind the router is proof. PREFIX
names one route, an address one host behind it, `exit` the exit node in use;
without any, all routes are tried.
"""

_EXIT_NODE = """\
Show or suggest peers that offer to carry all traffic of this node. Choose one
with `latchkey set --exit-node NAME`, or the nearest one at all times with
`latchkey set --exit-node auto:any`; none with `latchkey set --exit-node=`.
"""


def add_commands(commands: Any) -> None:
    """Add ``routes`` and ``exit-node``."""
    routes = commands.add_parser(
        "routes",
        help="show subnets and exit nodes: advertised, approved, serving, proven",
        description=_ROUTES,
        epilog="exit status:\n  0 shown, or all that were probed are proven; 6 a probed route is "
        "not\n  proven; 77 there is no such route to probe",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    routes.add_argument("--json", action="store_true", help="print everything as JSON")
    routes.set_defaults(run=_run_routes)
    more = routes.add_subparsers(dest="action", metavar="probe")
    probe = more.add_parser(
        "probe",
        help="send a few packets through routes, and tell what came back",
        description=_PROBE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    probe.add_argument(
        "target", nargs="?", default="", metavar="PREFIX|IP|exit", help="which route (all)"
    )
    probe.add_argument("--json", action="store_true", help="print everything as JSON")
    probe.set_defaults(run=_run_probe)

    exit_node = commands.add_parser(
        "exit-node",
        help="list exit nodes, or suggest the nearest",
        description=_EXIT_NODE,
        epilog="exit status:\n  0 there is one; 7 nobody offers to be exit node",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = exit_node.add_subparsers(dest="action", metavar="list|suggest", required=True)
    listing = actions.add_parser("list", help="show all, the nearest first")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    listing.set_defaults(run=_run_exit_list)
    suggestion = actions.add_parser("suggest", help="name the nearest that is online")
    suggestion.add_argument("--json", action="store_true", help="print it as JSON")
    suggestion.set_defaults(run=_run_exit_suggest)


def _run_routes(client: LocalClient, options: argparse.Namespace) -> int:
    _print(client.routes(), as_json=options.json)
    return ExitStatus.OK


def _run_probe(client: LocalClient, options: argparse.Namespace) -> int:
    found = client.probe_routes(options.target)
    _print(found, as_json=options.json)
    return ExitStatus.OK if all(r.proven.ok for r in found.routes) else ExitStatus.NO_REPLY


def _print(routes: Routes, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(msgspec.to_builtins(routes), indent=2))
    else:
        print(render_routes(routes), end="")


def render_routes(routes: Routes) -> str:
    """Render routes for people, at most 80 columns wide."""
    if not routes.routes:
        return "No routes. Offer some with `latchkey set --advertise-routes auto`.\n"
    return "\n".join(map(_render_route, routes.routes))


def _render_route(route: RouteStatus) -> str:
    title = f"{route.prefix} by {route.router}" if route.router else f"{route.prefix} by this node"
    lines = [table.plain(title)]
    for name, fact in route.facts.items():
        lines += _render_fact(name, fact)
    return "\n".join(lines) + "\n"


def _render_fact(name: str, fact: Fact) -> list[str]:
    since = f" Since {fact.since:%Y-%m-%d %H:%M:%S} UTC." if fact.since else ""
    head = f"  {name:<11} {'yes' if fact.ok else 'no ':<3}"
    lines = textwrap.wrap(
        table.plain(fact.evidence + since),
        WIDTH,
        initial_indent=f"{head} ".ljust(len(_INDENT)),
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return lines or [head.rstrip()]


def _run_exit_list(client: LocalClient, options: argparse.Namespace) -> int:
    found = client.exit_options()
    if options.json:
        print(json.dumps(msgspec.to_builtins(found), indent=2))
    else:
        print(render_exit_nodes(found), end="")
    return ExitStatus.OK if found.options else ExitStatus.NO_SUCH_PEER


def _run_exit_suggest(client: LocalClient, options: argparse.Namespace) -> int:
    found = client.exit_options()
    best = next((one for one in found.options if one.suggested), None)
    if best is None:
        raise LocalApiError(
            "No exit node is online. See `latchkey exit-node list`.", "no-such-peer"
        )
    if options.json:
        print(json.dumps(msgspec.to_builtins(best), indent=2))
    else:
        print(f"{best.name} ({best.ip}), {_distance(best)}")
        print(f"Use it with `latchkey set --exit-node {best.name}`.")
    return ExitStatus.OK


def render_exit_nodes(found: ExitOptions) -> str:
    """Render the exit nodes for people."""
    if not found.options:
        return "No node offers to be exit node.\n"
    rows = [[one.ip, one.name, _distance(one), _ipv6(one), _standing(one)] for one in found.options]
    return table.render(rows, ["ADDRESS", "NAME", "DISTANCE", "IPV6", ""])


def _distance(one: ExitOption) -> str:
    if one.latency_s is None:
        return "distance unknown"
    way = "directly" if one.measured == "direct" else "to its relay"
    return f"{one.latency_s * 1000:.0f} ms {way}"


def _ipv6(one: ExitOption) -> str:
    return {"yes": "yes", "no": "no, blocked"}.get(one.ipv6, "-")


def _standing(one: ExitOption) -> str:
    words = ["in use"] if one.chosen else []
    words += ["nearest"] if one.suggested else []
    words += [] if one.online else ["offline"]
    return ", ".join(words)
