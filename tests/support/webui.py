"""The setup page on fakes of the agent and the coordinator.

By hand: ``python -m tests.support.webui [--port 8090] [--state claimed|founder|member]``; the page
then lies on http://localhost:PORT, and every visit to ``claimed`` has the password ``PASSWORD``.
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache

from appliance.adminapi import types as admin_types
from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError, CoordinatorNotRunningError
from appliance.localapi import types as local_types
from appliance.localapi.client import LocalClient
from appliance.localapi.errors import LocalApiError
from appliance.netmap.prefs import PrefsError, edit
from webui import create_app, sessions
from webui.claim import CODE_FILE, open_door
from webui.guard import SESSION_COOKIE
from webui.hosts import Known
from webui.settings import Settings
from webui.store import Store

PASSWORD = "correct horse battery"
LAN = "192.168.1.0/24"
SERVER_URL = "http://192.168.1.5:8080"
NODE_KEY = "nodekey:" + "5a" * 32
EPOCH = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


FOUND = (
    local_types.NetworkFound(
        interface="eth0",
        kind="ethernet",
        prefix=LAN,
        addresses=("192.168.1.5",),
        is_uplink=True,
        gateway="192.168.1.1",
        advertisable=True,
    ),
    local_types.NetworkFound(
        interface="wlan0",
        kind="wifi",
        prefix="10.20.0.0/24",
        addresses=("10.20.0.4",),
        advertisable=True,
    ),
    local_types.NetworkFound(
        interface="docker0",
        kind="other",
        prefix="172.17.0.0/16",
        addresses=("172.17.0.1",),
        reason="Containers or virtual machines of this machine use it; it is no network at home.",
    ),
)


@dataclass
class FakeLocal(LocalClient):
    """An agent that does at once what it is asked; ``broken`` is raised by every call."""

    admin: "FakeAdmin"
    state: local_types.Prefs = field(default_factory=local_types.Prefs)
    joined: bool = False
    auth_url: str = ""
    """What an ``up`` without a key leads to; empty: such a login is done at once."""
    failure: local_types.Failure | None = None
    """How an ``up`` ends."""
    backend_state: str = "NeedsLogin"
    peers: dict[str, local_types.PeerStatus] = field(default_factory=dict)
    warnings: tuple[local_types.HealthItem, ...] = ()
    route_facts: tuple[local_types.RouteStatus, ...] = ()
    own_coordinator: local_types.CoordinatorSettings = field(
        default_factory=lambda: local_types.CoordinatorSettings(available=True)
    )
    found: tuple[local_types.NetworkFound, ...] = field(default_factory=lambda: FOUND)
    broken: LocalApiError | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)
    used_key: str = ""

    def status(self) -> local_types.Status:
        self._called("status")
        own = local_types.PeerStatus(
            id="1",
            public_key=NODE_KEY,
            host_name="latchkey",
            dns_name="latchkey.mesh.internal." if self.joined else "",
            os="linux",
            tailscale_ips=("100.64.0.1",) if self.joined else (),
            online=self.joined,
        )
        return local_types.Status(
            version="0.1.0",
            backend_state=self.backend_state,
            have_node_key=self.joined,
            auth_url=self.auth_url if self.state.want_running and not self.joined else "",
            dataplane="kernel WireGuard",
            tailscale_ips=own.tailscale_ips,
            self_node=own,
            control_online=self.joined,
            routes=self.route_facts,
            warnings=self.warnings,
            health=tuple(warning.text for warning in self.warnings),
            peers=self.peers,
        )

    def prefs(self) -> local_types.Prefs:
        self._called("prefs")
        return self.state

    def edit_prefs(self, changes: dict[str, Any]) -> local_types.Prefs:
        self._called("edit_prefs", changes)
        try:
            self.state = edit(self.state, changes)
        except PrefsError as error:
            raise LocalApiError(str(error), error.status.code) from None
        if self.joined:
            self.admin.advertise(self.state)
        return self.state

    def up(self, request: local_types.UpRequest) -> local_types.Progress:
        self._called("up", request.prefs)
        self.edit_prefs({**request.prefs, "want_running": True, "logged_out": False})
        if self.failure is not None:
            self.state = msgspec.structs.replace(self.state, want_running=False)
            return self._progress()
        if request.auth_key or self.joined or not self.auth_url:
            self.used_key = request.auth_key or self.used_key
            self.join()
        return self._progress()

    def join(self) -> None:
        """Be part of the mesh from now on."""
        self.joined, self.backend_state = True, "Running"
        self.state = msgspec.structs.replace(self.state, want_running=True)
        if self.admin.running:
            self.admin.add_self(self.state)

    def down(self) -> local_types.Progress:
        self._called("down")
        self.state = msgspec.structs.replace(self.state, want_running=False)
        self.backend_state = "Stopped" if self.joined else "NeedsLogin"
        return self._progress()

    def logout(self) -> local_types.Progress:
        self._called("logout")
        self.joined, self.backend_state = False, "NeedsLogin"
        self.state = msgspec.structs.replace(self.state, want_running=False, logged_out=True)
        return self._progress()

    def watch(self, after: int, timeout_s: float = 25.0) -> local_types.Progress:
        self._called("watch")
        return self._progress()

    def routes(self) -> local_types.Routes:
        self._called("routes")
        return local_types.Routes(routes=self.route_facts)

    def probe_routes(self, wanted: str = "") -> local_types.Routes:
        self._called("probe_routes", wanted)
        return local_types.Routes(routes=self.route_facts)

    def ping(self, target: str, timeout_s: float) -> local_types.PingReply:
        self._called("ping", target)
        return local_types.PingReply(node_name=target, ip=target, latency_s=0.02)

    def networks(self) -> local_types.Networks:
        self._called("networks")
        return local_types.Networks(networks=self.found)

    def traffic(self) -> local_types.Traffic:
        self._called("traffic")
        wave = tuple(abs(180 - step) * 900 for step in range(360))
        return local_types.Traffic(step_s=10, rx_bytes=wave, tx_bytes=tuple(reversed(wave)))

    def coordinator(self) -> local_types.CoordinatorSettings:
        self._called("coordinator")
        return self.own_coordinator

    def be_coordinator(self, request: local_types.BeCoordinator) -> local_types.CoordinatorSettings:
        self._called("be_coordinator", request)
        if not (self.own_coordinator.available or self.own_coordinator.configured):
            raise LocalApiError(self.own_coordinator.reason, "conflict")
        self.own_coordinator = local_types.CoordinatorSettings(
            configured=True,
            server_url=request.server_url,
            base_domain=request.base_domain or "mesh.internal",
        )
        self.admin.running, self.admin.server_url = self.admin.starts, request.server_url
        return self.own_coordinator

    def stop_coordinator(self) -> local_types.CoordinatorSettings:
        self._called("stop_coordinator")
        self.own_coordinator = local_types.CoordinatorSettings(available=True)
        self.admin.running = False
        return self.own_coordinator

    def _progress(self) -> local_types.Progress:
        url = self.auth_url if self.state.want_running and not self.joined else ""
        return local_types.Progress(
            seq=len(self.calls), state=self.backend_state, auth_url=url, failure=self.failure
        )

    def _called(self, name: str, argument: Any = None) -> None:
        self.calls.append((name, argument))
        if self.broken is not None:
            raise self.broken


@dataclass
class FakeAdmin(AdminClient):
    """A coordinator with a table of users, keys, nodes and routes."""

    running: bool = False
    starts: bool = True
    """Whether it runs as soon as it has settings."""
    server_url: str = SERVER_URL
    people: list[admin_types.UserInfo] = field(default_factory=list)
    keys: list[admin_types.PreAuthKeyInfo] = field(default_factory=list)
    members: list[admin_types.NodeInfo] = field(default_factory=list)
    waiting: list[admin_types.PendingInfo] = field(default_factory=list)
    broken: AdminApiError | None = None
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def status(self) -> admin_types.ServerStatus:
        self._called("status")
        return admin_types.ServerStatus(
            version="0.1.0",
            server_url=self.server_url,
            base_domain="mesh.internal",
            users=len(self.people),
            nodes=len(self.members),
            connected=len(self.members),
            pending=len(self.waiting),
        )

    def users(self) -> admin_types.UserList:
        self._called("users")
        return admin_types.UserList(users=tuple(self.people))

    def create_user(self, request: admin_types.CreateUser) -> admin_types.UserInfo:
        self._called("create_user", request)
        if any(user.name == request.name for user in self.people):
            raise AdminApiError(f"There is a user {request.name} already.", "conflict")
        user = admin_types.UserInfo(
            id=len(self.people) + 1,
            name=request.name,
            display_name=request.display_name,
            created=EPOCH,
            nodes=0,
        )
        self.people.append(user)
        return user

    def preauth_keys(self) -> admin_types.PreAuthKeyList:
        self._called("preauth_keys")
        return admin_types.PreAuthKeyList(keys=tuple(self.keys))

    def create_preauth_key(
        self, request: admin_types.CreatePreAuthKey
    ) -> admin_types.PreAuthKeyInfo:
        self._called("create_preauth_key", request)
        number = len(self.keys) + 1
        key = admin_types.PreAuthKeyInfo(
            id=f"k{number}",
            user=request.user,
            created=EPOCH,
            expires=None,
            reusable=request.reusable,
            ephemeral=request.ephemeral,
            tags=request.tags,
            used=None,
            revoked=False,
            usable=True,
        )
        self.keys.append(key)
        return msgspec.structs.replace(key, key=f"lkauth-fake-{number:02}-secret")

    def revoke_preauth_key(self, key: str) -> admin_types.PreAuthKeyInfo:
        self._called("revoke_preauth_key", key)
        [found] = [known for known in self.keys if known.id == key]
        return msgspec.structs.replace(found, revoked=True, usable=False)

    def nodes(self) -> admin_types.NodeList:
        self._called("nodes")
        return admin_types.NodeList(nodes=tuple(self.members))

    def pending(self) -> admin_types.PendingList:
        self._called("pending")
        return admin_types.PendingList(pending=tuple(self.waiting))

    def node(self, node: str) -> admin_types.NodeInfo:
        self._called("node", node)
        for known in self.members:
            if node in (str(known.id), known.name):
                return known
        raise AdminApiError(f"There is no node {node}.", "not-found")

    def approve_pending(self, entry: str, request: admin_types.ApproveNode) -> admin_types.NodeInfo:
        self._called("approve_pending", (entry, request))
        device = self._leave(entry)
        self.members.append(node(len(self.members) + 2, device.hostname))
        return self.members[-1]

    def reject_pending(self, entry: str) -> admin_types.Done:
        self._called("reject_pending", entry)
        self._leave(entry)
        return admin_types.Done()

    def use_key(self, number: int = -1) -> admin_types.NodeInfo:
        """Let a device join with a key that was made."""
        now = EPOCH + timedelta(minutes=1)
        key = msgspec.structs.replace(self.keys[number], used=now, usable=False)
        self.keys[number] = key
        device = node(len(self.members) + 2, "phone")
        self.members.append(msgspec.structs.replace(device, user=key.user, created=now))
        return self.members[-1]

    def _leave(self, entry: str) -> admin_types.PendingInfo:
        for device in self.waiting:
            if device.id == entry:
                self.waiting.remove(device)
                return device
        raise AdminApiError("No such device waits.", "not-found")

    def routes(self) -> admin_types.RouteList:
        self._called("routes")
        return admin_types.RouteList(routes=tuple(r for n in self.members for r in n.routes))

    def approve_routes(self, node: str, prefixes: tuple[str, ...]) -> admin_types.RouteList:
        return self._decide(node, prefixes, approved=True)

    def revoke_routes(self, node: str, prefixes: tuple[str, ...]) -> admin_types.RouteList:
        return self._decide(node, prefixes, approved=False)

    def add_self(self, prefs: local_types.Prefs) -> None:
        """Show the box among the nodes."""
        self.members = [node for node in self.members if node.node_key != NODE_KEY]
        self.members.insert(0, node(1, "latchkey", NODE_KEY))
        self.advertise(prefs)

    def advertise(self, prefs: local_types.Prefs) -> None:
        """Show what the box advertises."""
        wanted = list(prefs.advertise_routes)
        wanted += ["0.0.0.0/0", "::/0"] if prefs.advertise_exit_node else []
        for index, known in enumerate(self.members):
            if known.node_key == NODE_KEY:
                approved = {route.prefix for route in known.routes if route.approved}
                routes = tuple(
                    route_of(known, prefix, approved=prefix in approved) for prefix in wanted
                )
                self.members[index] = msgspec.structs.replace(known, routes=routes)

    def _decide(
        self, node_id: str, prefixes: tuple[str, ...], *, approved: bool
    ) -> admin_types.RouteList:
        self._called("approve_routes" if approved else "revoke_routes", (node_id, prefixes))
        meant = {p for text in prefixes for p in (EXIT if text == "exit" else (text,))}
        for index, known in enumerate(self.members):
            if node_id in (str(known.id), known.name):
                routes = tuple(
                    msgspec.structs.replace(
                        route, approved=approved if route.prefix in meant else route.approved
                    )
                    for route in known.routes
                )
                self.members[index] = msgspec.structs.replace(known, routes=routes)
                return admin_types.RouteList(routes=routes)
        raise AdminApiError(f"There is no node {node_id}.", "not-found")

    def _called(self, name: str, argument: Any = None) -> None:
        self.calls.append((name, argument))
        if self.broken is not None:
            raise self.broken
        if not self.running:
            raise CoordinatorNotRunningError("No coordinator listens.")


EXIT = ("0.0.0.0/0", "::/0")


def node(number: int, name: str, key: str = "") -> admin_types.NodeInfo:
    """Return a node as the coordinator shows it."""
    return admin_types.NodeInfo(
        id=number,
        name=name,
        fqdn=f"{name}.mesh.internal",
        user="owner",
        tags=(),
        addresses=(f"100.64.0.{number}",),
        online=True,
        last_seen=EPOCH,
        created=EPOCH,
        key_expiry=None,
        expired=False,
        ephemeral=False,
        hostname=name,
        os="linux",
        client_version="0.1.0",
        cap_version=131,
        node_key=key or f"nodekey:{number:064x}",
        machine_key=f"mkey:{number:064x}",
        endpoints=(),
        home_relay=900,
        routes=(),
        published=(),
    )


def route_of(
    router: admin_types.NodeInfo, prefix: str, *, approved: bool = False
) -> admin_types.RouteInfo:
    """Return a route that a node advertises."""
    return admin_types.RouteInfo(
        node_id=router.id,
        node=router.name,
        prefix=prefix,
        advertised=True,
        approved=approved,
        primary=approved,
        serving=approved,
    )


class _Compiled(BytecodeCache):
    """Templates compiled once for all applications of a test run."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, bytes]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._found.get(bucket.key, ("", b""))
        if checksum == bucket.checksum:
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._found[bucket.key] = (bucket.checksum, bucket.bytecode_to_string())


_COMPILED = _Compiled()

KNOWN = Known("latchkey", (ip_address("127.0.0.1"), ip_address("192.168.1.5")))


@dataclass
class Page:
    """The application with its fakes, and a browser that keeps cookies."""

    app: Flask
    local: FakeLocal
    admin: FakeAdmin
    store: Store
    settings: Settings
    clock: list[float]

    def browser(self) -> FlaskClient:
        """Open a browser that has never been here."""
        return self.app.test_client()

    @property
    def code(self) -> str:
        """The claim code that the box shows."""
        return (self.settings.runtime_dir / CODE_FILE).read_text().strip()

    def signed_in(self) -> FlaskClient:
        """Return the owner's browser, without the time that a password takes."""
        browser = self.browser()
        with self.store.transaction() as db:
            browser.set_cookie(SESSION_COOKIE, sessions.begin(db, self.clock[0]))
        return browser

    def claimed(self) -> FlaskClient:
        """Claim the box; return the owner's browser."""
        browser = self.browser()
        fields = {"code": self.code, "password": PASSWORD, "again": PASSWORD}
        reply = post(browser, "/claim", fields)
        assert reply.status_code == 303, reply.text
        return browser


def make_page(directory: Path, **fields: Any) -> Page:
    """Make an unclaimed box; ``fields`` are settings."""
    for name in ("state", "run"):
        (directory / name).mkdir(exist_ok=True)
    settings = Settings(state_dir=directory / "state", runtime_dir=directory / "run", **fields)
    store = Store(settings.state_dir)
    clock = [1000.0]
    admin = FakeAdmin()
    local = FakeLocal(admin)
    store.prepare("boot-1")
    open_door(store, settings.runtime_dir, settings.state_dir, clock[0])

    def pause(seconds: float) -> None:
        clock[0] += seconds

    app = create_app(
        settings, local, admin, observe=lambda: KNOWN, now=lambda: clock[0], pause=pause
    )
    app.testing = True
    app.jinja_env.bytecode_cache = _COMPILED
    return Page(app, local, admin, store, settings, clock)


def form_token(browser: FlaskClient, path: str = "/login") -> str:
    """Return the token that forms of this browser carry."""
    text = browser.get(path, follow_redirects=True).text
    return text.partition('name="form_token" value="')[2].partition('"')[0]


def post(browser: FlaskClient, path: str, fields: dict[str, Any], **kwargs: Any) -> Any:
    """Send a form as a browser would."""
    headers = {"Origin": "http://localhost"} | kwargs.pop("headers", {})
    token = form_token(browser)
    return browser.post(path, data={"form_token": token} | fields, headers=headers, **kwargs)


def main() -> None:
    """Serve the page by hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--state", default="new", choices=["new", "claimed", "founder", "member"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        page = make_page(Path(directory))
        print(f"http://localhost:{options.port}/claim?code={page.code}", flush=True)
        if options.state != "new":
            page.claimed()
            print(f"claimed; the password is: {PASSWORD}", flush=True)
        page.local.auth_url = "https://mesh.example.org/register/abcdef0123456789"
        if options.state == "founder":
            page.admin.running = True
            page.admin.create_user(admin_types.CreateUser(name="owner"))
            page.local.own_coordinator = local_types.CoordinatorSettings(
                configured=True, server_url=SERVER_URL, base_domain="mesh.internal"
            )
            page.local.state = local_types.Prefs(control_url=SERVER_URL)
            page.local.join()
        if options.state == "member":
            page.local.state = local_types.Prefs(control_url="https://mesh.example.org")
            page.local.join()
        page.app.run(port=options.port, threaded=True)


if __name__ == "__main__":
    main()
