"""``status``, ``ip``, ``ping``, ``netcheck`` and ``version``: looking without changing."""

import argparse
import json
import time
from typing import Any

import msgspec

from appliance.cli import table
from appliance.cli.prefs import YesNo
from appliance.exit_status import ExitStatus
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.localapi.types import NetcheckReport, PeerStatus, PingReply, RouteStatus, Status
from appliance.version import VERSION


def add_commands(commands: Any) -> None:
    """Add the commands that only look."""
    status = commands.add_parser(
        "status",
        help="show this node, its peers and how each is reached",
        description="Show this node, its peers and the path to each: direct or through a relay. "
        "The exit status is 1 when the mesh is not running.",
    )
    status.add_argument("--json", action="store_true", help="print everything as JSON")
    status.set_defaults(run=_run_status)

    ip = commands.add_parser("ip", help="show tailnet addresses of this node or a peer")
    ip.add_argument("peer", nargs="?", help="a peer's name; this node when absent")
    family = ip.add_mutually_exclusive_group()
    family.add_argument("-4", dest="family", action="store_const", const=4, help="IPv4 only")
    family.add_argument("-6", dest="family", action="store_const", const=6, help="IPv6 only")
    ip.set_defaults(run=_run_ip)

    ping = commands.add_parser(
        "ping",
        help="ask a peer for an answer and show the path it took",
        description="Ping a peer on the discovery level, below the tunnel, until the path is "
        "direct or the count is reached.",
    )
    ping.add_argument("target", help="a peer's name or tailnet address")
    ping.add_argument("-c", dest="count", type=int, default=10, help="at most so many (10)")
    ping.add_argument("--timeout", type=float, default=5.0, metavar="S", help="wait so long (5)")
    ping.add_argument(
        "--until-direct",
        action=YesNo,
        default=True,
        help="stop at the first direct answer",
    )
    ping.add_argument("--json", action="store_true", help="print each answer as JSON")
    ping.set_defaults(run=_run_ping)

    netcheck = commands.add_parser("netcheck", help="measure what this network lets through")
    netcheck.add_argument("--json", action="store_true", help="print the report as JSON")
    netcheck.set_defaults(run=_run_netcheck)

    version = commands.add_parser("version", help="show the version")
    version.add_argument("--json", action="store_true", help="print it as JSON")
    version.set_defaults(run=_run_version)


def _print_json(value: object) -> None:
    print(json.dumps(msgspec.to_builtins(value), indent=2))


def _run_status(client: LocalClient, options: argparse.Namespace) -> int:
    status = client.status()
    if options.json:
        _print_json(status)
    else:
        print(render_status(status), end="")
    return ExitStatus.OK if status.backend_state == "Running" else ExitStatus.ERROR


def render_status(status: Status) -> str:
    """Render the status for people: a line a node, then what needs attention."""
    if status.backend_state != "Running":
        lines = [f"# {_state_sentence(status)}"]
    else:
        rows = [_row(status.self_node, status, is_self=True)]
        rows += [_row(peer, status) for peer in _by_name(status)]
        lines = table.render(rows).splitlines()
    lines += _route_lines(status)
    if status.health:
        lines += ["", "# Health check:", *(f"#     - {text}" for text in status.health)]
    return "\n".join(lines) + "\n"


def _state_sentence(status: Status) -> str:
    if status.auth_url:
        return f"Log in at {status.auth_url}"
    return {
        "NeedsLogin": "Logged out. Log in with `latchkey up`.",
        "NeedsMachineAuth": "Waiting for an admin to approve this device.",
        "Stopped": "Stopped. Connect with `latchkey up`.",
        "NoState": "The agent is starting.",
    }.get(status.backend_state, "Connecting …")


def _by_name(status: Status) -> list[PeerStatus]:
    return sorted(status.peers.values(), key=lambda peer: peer.dns_name)


def _row(peer: PeerStatus, status: Status, *, is_self: bool = False) -> list[str]:
    address = peer.tailscale_ips[0] if peer.tailscale_ips else "-"
    name = peer.dns_name.partition(".")[0] or peer.host_name
    owner = "tagged" if peer.tags else _owner(peer, status)
    return [address, name, owner, peer.os or "-", "-" if is_self else _path(peer)]


def _owner(peer: PeerStatus, status: Status) -> str:
    login = str(status.users.get(str(peer.user_id), {}).get("LoginName", "?"))
    return login.partition("@")[0] + "@"


def _path(peer: PeerStatus) -> str:
    if not peer.online and not peer.active:
        seen = f", last seen {peer.last_seen:%Y-%m-%d %H:%M} UTC" if peer.last_seen else ""
        return f"offline{seen}"
    words = ["active" if peer.active else "idle"]
    if peer.exit_node:
        words.append("exit node")
    elif peer.exit_node_option:
        words.append("offers exit node")
    if peer.cur_addr:
        words.append(f"direct {peer.cur_addr}")
    elif peer.active and peer.relay:
        words.append(f'relay "{peer.relay}"')
    text = "; ".join(words)
    if peer.active:
        text += f", tx {peer.tx_bytes} rx {peer.rx_bytes}"
    return text


def _route_lines(status: Status) -> list[str]:
    lines = [route_line(route) for route in status.routes if _is_shown(route)]
    if status.exit_node_ipv6 == "no":
        lines.append("# exit node: no IPv6 there; IPv6 is blocked, not leaked")
    return ["", *lines] if lines else []


def _is_shown(route: RouteStatus) -> bool:
    """Leave out peers' routes that this node does not use: `latchkey routes` has them."""
    return not route.router or route.serving.ok


def route_line(route: RouteStatus) -> str:
    """Render a route and its four facts in one line."""
    facts = ", ".join(("" if fact.ok else "not ") + name for name, fact in route.facts.items())
    where = f" by {route.router}" if route.router else ""
    return f"# route {route.prefix}{where}: {facts}"


def _run_ip(client: LocalClient, options: argparse.Namespace) -> int:
    status = client.status()
    node = status.self_node if options.peer is None else _find(status, options.peer)
    for address in node.tailscale_ips:
        if options.family is None or (options.family == 6) == (":" in address):
            print(address)
    return ExitStatus.OK if node.tailscale_ips else ExitStatus.ERROR


def _find(status: Status, name: str) -> PeerStatus:
    for peer in (*status.peers.values(), status.self_node):
        full = peer.dns_name.rstrip(".")
        if name in (full, full.partition(".")[0], peer.host_name, *peer.tailscale_ips):
            return peer
    raise LocalApiError(f"No node is called {name!r}. See `latchkey status`.", "no-such-peer")


def _run_ping(client: LocalClient, options: argparse.Namespace) -> int:
    answered = False
    for number in range(options.count):
        if number:
            time.sleep(1.0)
        reply = client.ping(options.target, options.timeout)
        if options.json:
            print(json.dumps(msgspec.to_builtins(reply)), flush=True)
        else:
            print(render_ping(reply), flush=True)
        answered = answered or reply.latency_s is not None
        if reply.endpoint and options.until_direct:
            return ExitStatus.OK
    if not answered:
        return ExitStatus.NO_REPLY
    if options.until_direct:
        print("direct connection not established")
        return ExitStatus.ERROR
    return ExitStatus.OK


def render_ping(reply: PingReply) -> str:
    """Render one ping for people."""
    if reply.latency_s is None:
        return f"ping {reply.node_name} ({reply.ip}): no reply"
    path = reply.endpoint or f"DERP({reply.relay})"
    return f"pong from {reply.node_name} ({reply.ip}) via {path} in {reply.latency_s * 1000:.1f}ms"


def _run_netcheck(client: LocalClient, options: argparse.Namespace) -> int:
    report = client.netcheck()
    if options.json:
        _print_json(report)
    else:
        print(render_netcheck(report), end="")
    return ExitStatus.OK


def render_netcheck(report: NetcheckReport) -> str:
    """Render the report for people."""
    words = {True: "yes", False: "no", None: "unknown"}
    lines = [
        "Report:",
        f"    * UDP: {words[report.udp]}",
        f"    * IPv4: {report.ipv4 or '(no address found)'}",
        f"    * IPv6: {report.ipv6 or '(no address found)'}",
        f"    * MappingVariesByDestIP: {words[report.mapping_varies]}",
        f"    * Nearest DERP: {report.nearest_relay or '(none)'}"
        + (" (connected)" if report.relay_connected else ""),
        "    * DERP latency:",
    ]
    for relay, latency_s in sorted(report.relay_latency_s.items(), key=lambda item: item[1]):
        lines.append(f"        - {relay}: {latency_s * 1000:.1f}ms")
    return "\n".join(lines) + "\n"


def _run_version(_client: LocalClient, options: argparse.Namespace) -> int:
    print(json.dumps({"version": VERSION}) if options.json else VERSION)
    return ExitStatus.OK
