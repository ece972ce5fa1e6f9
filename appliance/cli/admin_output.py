"""What ``latchkey admin`` prints for people. Pure."""

from datetime import datetime

from appliance.adminapi.types import (
    Done,
    NodeInfo,
    NodeList,
    PendingList,
    PingAnswer,
    PreAuthKeyInfo,
    PreAuthKeyList,
    RouteInfo,
    RouteList,
    ServerStatus,
    UserInfo,
    UserList,
)
from appliance.cli import table


def done(_answer: Done) -> str:
    """Say nothing: it is done."""
    return ""


def status(answer: ServerStatus) -> str:
    """Show how the coordinator is doing."""
    return _facts(
        ("server", answer.server_url),
        ("version", answer.version),
        ("names", f"*.{answer.base_domain}"),
        ("users", str(answer.users)),
        ("nodes", f"{answer.nodes}, {answer.connected} connected"),
        (
            "pending",
            f"{answer.pending} (`latchkey admin nodes pending`)" if answer.pending else "0",
        ),
    )


def user(answer: UserInfo) -> str:
    """Show one user."""
    return users(UserList(users=(answer,)))


def users(answer: UserList) -> str:
    """Show users."""
    rows = [
        [str(u.id), u.name, u.display_name, str(u.nodes), _day(u.created)] for u in answer.users
    ]
    return _table(rows, ["ID", "NAME", "SHOWN AS", "NODES", "CREATED"], "No users yet.")


def key(answer: PreAuthKeyInfo) -> str:
    """Show a key's text when it was just made, else the key's row."""
    return f"{answer.key}\n" if answer.key else keys(PreAuthKeyList(keys=(answer,)))


def keys(answer: PreAuthKeyList) -> str:
    """Show pre-auth keys."""
    rows = [
        [
            *(k.id, k.user, ",".join(k.tags) or "-", _kind(k), _moment(k.expires, "never")),
            *(_moment(k.used, "-"), _verdict(k)),
        ]
        for k in answer.keys
    ]
    header = ["ID", "USER", "TAGS", "KIND", "EXPIRES", "LAST USED", "STATE"]
    return _table(rows, header, "No pre-auth keys.")


def nodes(answer: NodeList) -> str:
    """Show nodes."""
    rows = [
        [
            *(str(n.id), n.name, ",".join(n.tags) or n.user, n.addresses[0], _presence(n)),
            *(n.os or "-", ", ".join(_granted(n)) or "-"),
        ]
        for n in answer.nodes
    ]
    header = ["ID", "NAME", "OWNER", "ADDRESS", "STATE", "SYSTEM", "ROUTES"]
    return _table(rows, header, "No nodes yet.")


def node(answer: NodeInfo) -> str:
    """Show everything of a node."""
    return _facts(
        ("id", str(answer.id)),
        ("name", answer.fqdn),
        ("owner", ", ".join(answer.tags) or answer.user),
        ("addresses", ", ".join(answer.addresses)),
        ("state", _presence(answer) + (", ephemeral" if answer.ephemeral else "")),
        ("last seen", _moment(answer.last_seen, "never")),
        ("key expires", _moment(answer.key_expiry, "never")),
        ("system", f"{answer.os or '?'}, client {answer.client_version or '?'}"),
        ("host name", answer.hostname),
        ("home relay", str(answer.home_relay or "-")),
        ("endpoints", ", ".join(answer.endpoints) or "-"),
        ("routes", ", ".join(_granted(answer)) or "-"),
        ("wants", ", ".join(_waiting(answer)) or "-"),
        ("publishes", ", ".join(answer.published) or "-"),
        ("node key", answer.node_key),
        ("machine key", answer.machine_key),
    )


def pending(answer: PendingList) -> str:
    """Show devices that wait."""
    rows = [
        [p.id, p.hostname or "-", p.os or "-", p.client_version or "-", f"{p.waiting_s} s"]
        for p in answer.pending
    ]
    header = ["ID", "HOST NAME", "SYSTEM", "CLIENT", "WAITING"]
    return _table(rows, header, "No device asks to join.")


def routes(answer: RouteList) -> str:
    """Show routes."""
    rows = [
        [
            *(str(r.node_id), r.node, r.prefix, _yes(r.advertised), _yes(r.approved)),
            _serving(r),
        ]
        for r in answer.routes
    ]
    header = ["ID", "NODE", "PREFIX", "ADVERTISED", "APPROVED", "SERVING"]
    notes = "".join(f"note: {note}\n" for note in answer.notes)
    return _table(rows, header, "No routes.") + notes


def ping(answer: PingAnswer) -> str:
    """Show what a node found."""
    if answer.error:
        return f"{answer.ip}: {answer.error}\n"
    by = answer.endpoint or f"relay {answer.relay_code or answer.relay_region}"
    return (
        f"pong from {answer.node_name} ({answer.ip}) via {by} in {answer.latency_s * 1e3:.1f} ms\n"
    )


def _table(rows: list[list[str]], header: list[str], nothing: str) -> str:
    return table.render(rows, header) if rows else f"{nothing}\n"


def _facts(*facts: tuple[str, str]) -> str:
    return table.render([list(fact) for fact in facts])


def _kind(key: PreAuthKeyInfo) -> str:
    return ("reusable" if key.reusable else "one-off") + (", ephemeral" if key.ephemeral else "")


def _verdict(key: PreAuthKeyInfo) -> str:
    if key.usable:
        return "usable"
    if key.revoked:
        return "revoked"
    return "used" if key.used and not key.reusable else "expired"


def _presence(node: NodeInfo) -> str:
    if node.expired:
        return "expired"
    return "online" if node.online else "offline"


def _granted(node: NodeInfo) -> list[str]:
    return _short([r.prefix for r in node.routes if r.advertised and r.approved])


def _waiting(node: NodeInfo) -> list[str]:
    return _short([r.prefix for r in node.routes if r.advertised and not r.approved])


def _short(prefixes: list[str]) -> list[str]:
    """Say ``exit`` for the two default routes."""
    subnets = [prefix for prefix in prefixes if not prefix.endswith("/0")]
    return subnets + ["exit"] * (len(subnets) < len(prefixes))


def _serving(route: RouteInfo) -> str:
    if route.serving:
        return "yes"
    is_exit = route.prefix.endswith("/0")
    if not (route.advertised and route.approved):
        return "no"
    return "no: offline" if route.primary or is_exit else "standby"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _moment(moment: datetime | None, nothing: str) -> str:
    return nothing if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
