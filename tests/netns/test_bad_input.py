"""Whatever goes wrong on the way into the mesh: one sentence, a status of its own, nothing changed.

node ──── vps (coordinator and relay; and, on other ports, things that are no coordinator)
198.51.100.0/24
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.exit_status import ExitStatus
from tests.netns.lab import Host, Lab, wait_until
from tests.netns.lab.web import start_page
from tests.support.coordinator import Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import LATCHKEY, AgentNode, Join
from tests.support.wireguard import wireguard_go

LATCHKEY_PORT = 41641


@dataclass
class World:
    """A coordinator, and a machine that is about to make mistakes."""

    lab: Lab
    coordinator: Coordinator
    host: Host
    key: Join

    def agent(self, join: Join | None = None) -> AgentNode:
        agent = AgentNode(self.host, join or self.key)
        agent.start()
        return agent


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    reason = why_no_lab()
    if reason:
        pytest.skip(reason)
    if wireguard_go() is None:
        pytest.skip("wireguard-go is not installed")
    with fresh_lab() as lab:
        street = lab.public("street", "198.51.100.0/24")
        vps, host = street.host("vps", 10), street.host("node", 20)
        lab.build()
        coordinator = Coordinator(vps)
        coordinator.start()
        coordinator.new_user("alice")
        yield World(lab, coordinator, host, coordinator.new_key("alice", "--reusable"))


@pytest.fixture
def agent(world: World) -> Iterator[AgentNode]:
    """A fresh agent, gone without a trace afterwards."""
    node = world.agent()
    yield node
    assert node.daemon is not None
    node.daemon.stop()
    forget(node)


def forget(node: AgentNode) -> None:
    for path in node.directory.glob("*.json"):
        path.unlink()


def machine(host: Host) -> tuple[str, ...]:
    """Everything on the machine that an agent changes."""
    looks = (
        ["ip", "-o", "link"],
        ["ip", "rule"],
        ["ip", "-6", "rule"],
        ["ip", "route", "show", "table", "all"],
        ["nft", "list", "tables"],
        ["sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"],
    )
    return tuple(host.run(look) for look in looks)


def refused(
    node: AgentNode, *arguments: str, env: dict[str, str] | None = None
) -> tuple[ExitStatus, str]:
    """Run a command that must fail; return its status and its one sentence."""
    done = node.host.try_run([*node.cli(), *arguments], env={**node.daemon_env(), **(env or {})})
    assert done.returncode != 0, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("latchkey: ")]
    assert len(lines) == 1, done.stderr
    assert lines[0].endswith((".", ")"))
    return ExitStatus(done.returncode), lines[0]


def up(node: AgentNode, url: str = "", key: str = "", *flags: str) -> tuple[ExitStatus, str]:
    url = url or node.join.url
    source = key or f"file:{node.join.key_file}"
    return refused(node, "up", f"--login-server={url}", f"--auth-key={source}", *flags)


def test_a_key_that_was_never_made(world: World, agent: AgentNode) -> None:
    before = machine(world.host)
    status, sentence = up(agent, key="lkey-auth-" + "0" * 64)
    assert status is ExitStatus.KEY_WRONG, sentence
    wait_until(lambda: machine(world.host) == before, 5, "nothing is half-applied")
    assert agent.status()["BackendState"] == "NeedsLogin"


def made_key(world: World, *flags: str) -> dict[str, Any]:
    made: dict[str, Any] = world.coordinator.admin(
        "preauthkeys", "create", "--user", "alice", *flags
    )
    return made


def test_a_key_that_is_used_up(world: World, agent: AgentNode) -> None:
    key = made_key(world)["key"]
    other = AgentNode(world.host, world.key)
    agent.command("up", f"--login-server={world.key.url}", f"--auth-key={key}")
    agent.command("logout")
    status, sentence = up(other, key=key)
    assert status is ExitStatus.KEY_USED, sentence


def test_a_key_that_expired(world: World, agent: AgentNode) -> None:
    key = made_key(world, "--expiration", "1s")["key"]
    time.sleep(1.1)
    assert up(agent, key=key)[0] is ExitStatus.KEY_EXPIRED


def test_a_key_that_was_revoked(world: World, agent: AgentNode) -> None:
    made = made_key(world)
    world.coordinator.admin("preauthkeys", "revoke", str(made["id"]))
    assert up(agent, key=made["key"])[0] is ExitStatus.KEY_REVOKED


def test_a_coordinator_that_is_not_there(world: World, agent: AgentNode) -> None:
    before = machine(world.host)
    status, sentence = up(agent, url="https://198.51.100.10:4443")
    assert status is ExitStatus.COORDINATOR_UNREACHABLE, sentence
    wait_until(lambda: machine(world.host) == before, 5, "nothing is half-applied")


def test_a_certificate_that_nobody_vouches_for(world: World) -> None:
    stranger = Join(world.key.url, world.key.key_file, Path("/etc/ssl/certs/ca-certificates.crt"))
    node = world.agent(stranger)
    try:
        status, sentence = up(node)
        assert status is ExitStatus.CERTIFICATE_WRONG, sentence
    finally:
        assert node.daemon is not None
        node.daemon.stop()
        forget(node)


def test_a_web_server_that_is_no_coordinator(world: World, agent: AgentNode) -> None:
    start_page(world.coordinator.host, 8080).wait_for_line("serving")
    status, sentence = up(agent, url="http://198.51.100.10:8080")
    assert status is ExitStatus.NOT_A_COORDINATOR, sentence


def test_something_that_is_no_url(agent: AgentNode) -> None:
    assert up(agent, url="mesh.example.org")[0] is ExitStatus.USAGE


def test_a_clock_that_is_a_year_late(world: World) -> None:
    [library] = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    node = AgentNode(world.host, world.key)
    late = {"LD_PRELOAD": str(library), "FAKETIME": "-365d"}
    node.daemon = world.host.start(
        "late agent", node.daemon_command(), {**node.daemon_env(), **late}
    )
    wait_until(node.socket.is_socket, 10, "the agent listens")
    try:
        status, sentence = up(node)
        assert status is ExitStatus.CLOCK_WRONG, sentence
        assert "clock" in sentence
    finally:
        node.daemon.stop()
        forget(node)


def test_a_node_key_that_belongs_to_another_machine(world: World) -> None:
    """The thief is refused, and the owner of the key notices nothing."""
    owner = world.agent()
    owner.up()
    address = owner.ip
    stolen = json.loads((owner.directory / "state.json").read_text())["node_key"]
    assert owner.daemon is not None
    owner.daemon.stop()
    kept = {path.name: path.read_bytes() for path in owner.directory.glob("*.json")}
    forget(owner)

    thief = world.agent()
    assert thief.daemon is not None
    thief.daemon.stop()
    path = thief.directory / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"node_key": stolen}))
    thief = world.agent()
    try:
        status, sentence = up(thief)
        assert status is ExitStatus.NODE_KEY_TAKEN, sentence
    finally:
        assert thief.daemon is not None
        thief.daemon.stop()
        forget(thief)

    for name, content in kept.items():
        (owner.directory / name).write_bytes(content)
    owner = world.agent()
    try:
        wait_until(lambda: owner.status()["BackendState"] == "Running", 10, "the owner runs")
        assert owner.ip == address
    finally:
        assert owner.daemon is not None
        owner.command("logout")
        owner.daemon.stop()
        forget(owner)


@pytest.mark.parametrize(
    ("routes", "status"),
    [
        ("192.168.1.7/24", ExitStatus.ROUTE_MALFORMED),
        ("0.0.0.0/0", ExitStatus.ROUTE_IS_DEFAULT),
        ("10.0.0.0/8,10.1.0.0/16", ExitStatus.ROUTES_OVERLAP),
        ("198.51.100.0/24", ExitStatus.ROUTE_HOLDS_COORDINATOR),
    ],
)
def test_routes_that_cannot_be_advertised(
    world: World, agent: AgentNode, routes: str, status: ExitStatus
) -> None:
    assert up(agent, "", "", f"--advertise-routes={routes}")[0] is status
    assert agent.status()["BackendState"] == "NeedsLogin"
    agent.up()
    assert refused(agent, "set", f"--advertise-routes={routes}")[0] is status
    agent.command("logout")


def test_a_port_that_somebody_holds(world: World, agent: AgentNode) -> None:
    before = machine(world.host)
    with world.host.udp(LATCHKEY_PORT):
        status, sentence = up(agent)
        assert status is ExitStatus.PORT_IN_USE, sentence
        assert str(LATCHKEY_PORT) in sentence
    wait_until(lambda: machine(world.host) == before, 5, "nothing is half-applied")


def start_fails(
    host: Host, command: list[str], env: dict[str, str] | None = None
) -> tuple[ExitStatus, str]:
    """Start an agent that cannot; return its status and sentence."""
    done: subprocess.CompletedProcess[str] = host.try_run(command, env=env)
    assert done.stderr.count("latchkey agent: ") == 1, done.stderr
    return ExitStatus(done.returncode), done.stderr


def test_an_agent_that_is_not_root(world: World) -> None:
    # Not another user: that one could not read a repository in root's home.
    without_rights = ["setpriv", "--bounding-set=-net_admin,-net_raw"]
    node = AgentNode(world.host, world.key)
    status, sentence = start_fails(world.host, [*without_rights, *node.daemon_command()])
    assert status is ExitStatus.NOT_ROOT
    assert "root" in sentence


def test_a_second_agent(world: World, agent: AgentNode) -> None:
    status, sentence = start_fails(world.host, agent.daemon_command())
    assert status is ExitStatus.ALREADY_RUNNING
    assert "already" in sentence


def test_a_config_file_with_an_unknown_key(world: World) -> None:
    config = world.host.directory / "agent.toml"
    config.write_text("prot = 41641\n")
    status, sentence = start_fails(world.host, [str(LATCHKEY), "agent", "--config", str(config)])
    assert status is ExitStatus.CONFIG_WRONG
    assert "'port'" in sentence


def test_a_kernel_without_tun_and_wireguard(world: World) -> None:
    node = AgentNode(world.host, world.key)
    hidden = "mount -t tmpfs none /dev/net && exec " + " ".join(node.daemon_command())
    command = ["unshare", "-m", "sh", "-c", f"{hidden} --dataplane userspace"]
    node.daemon = world.host.start("blind agent", command, node.daemon_env())
    wait_until(node.socket.is_socket, 10, "the agent listens")
    try:
        status, sentence = up(node)
        assert status is ExitStatus.NO_TUN, sentence
    finally:
        node.daemon.stop()
        forget(node)


def test_a_machine_without_nftables(world: World) -> None:
    node = AgentNode(world.host, world.key)
    command = ["env", "PATH=/nonexistent", *node.daemon_command()]
    node.daemon = world.host.start("bare agent", command, node.daemon_env())
    wait_until(node.socket.is_socket, 10, "the agent listens")
    before = machine(world.host)
    try:
        status, sentence = up(node)
        assert status is ExitStatus.NFT_MISSING, sentence
        assert "nftables" in sentence
        wait_until(lambda: machine(world.host) == before, 5, "nothing is half-applied")
    finally:
        node.daemon.stop()
        forget(node)
