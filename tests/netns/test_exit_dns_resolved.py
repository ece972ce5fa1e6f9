"""Behind an exit node a real systemd-resolved asks it alone, also after resolved starts anew.

laptop (systemd-resolved) ── hostel ──┬── internet ──┬── home ──┬── appliance (exit node)
phone (the hostel's name server)     vps                        └── printer (home's name server)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.netns.lab import Host, Program, wait_until
from tests.netns.lab.resolver import NameServer, look_up, resolv_conf_of, set_name_server
from tests.support.dbus import require_dbus, write_bus_config
from tests.support.dnslab import is_silent
from tests.support.interop import open_world
from tests.support.mesh import AgentNode
from tests.support.peers import PEERS

pytestmark = pytest.mark.netns

TREE = PEERS.parent / "resolved"
USER = 991
SOON_S = 15.0
STUB = "nameserver 127.0.0.53\n"


class ResolvedHost:
    """systemd-resolved and a bus of its own on a lab host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.directory = host.directory / "resolved"
        run = self.directory / "systemd"
        (run / "resolve").mkdir(parents=True)
        os.chown(run / "resolve", USER, USER)
        for name, line in (("passwd", f"x:{USER}:{USER}::/:/bin/false"), ("group", f"x:{USER}:")):
            text = Path("/etc", name).read_text(encoding="utf-8")
            (self.directory / name).write_text(f"{text}systemd-resolve:{line}\n", encoding="utf-8")
        bus = host.socket_path("bus.sock")
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={bus}"}
        config = write_bus_config(self.directory, bus)
        command = ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"]
        host.start("bus", self.argv(command)).wait_for_line("unix:")
        self.program = self.start()

    def argv(self, command: list[str]) -> list[str]:
        """The command with resolved's directory and user in their places."""
        here = self.directory
        mounts = (
            f"mount --bind {here}/systemd /run/systemd && "
            f"mount --bind {here}/passwd /etc/passwd && mount --bind {here}/group /etc/group"
        )
        return ["sh", "-c", f'{mounts} && exec "$@"', "resolved", *command]

    def start(self) -> Program:
        program = str(TREE / "lib/systemd/systemd-resolved")
        started = self.host.start("resolved", self.argv([program]), self.env)
        wait_until(lambda: self.ctl("status"), SOON_S, "resolved answers")
        return started

    def ctl(self, *arguments: str) -> str:
        """resolvectl; nothing when it fails."""
        command = self.argv([str(TREE / "usr/bin/resolvectl"), *arguments])
        done = self.host.try_run(command, env=self.env)
        return done.stdout if done.returncode == 0 else ""

    def learn_lan(self, server: str) -> None:
        """What a DHCP client would tell it: the name server, and a domain of the LAN's own."""
        for what, value in (("dns", server), ("domain", "lan")):
            command = [str(TREE / "usr/bin/resolvectl"), what, "eth0", value]
            self.host.run(self.argv(command), env=self.env)


class ResolvedAgent(AgentNode):
    """Our agent on a host with resolved."""

    resolved: ResolvedHost

    def daemon_command(self) -> list[str]:
        return self.resolved.argv(super().daemon_command())

    def daemon_env(self) -> dict[str, str]:
        return super().daemon_env() | self.resolved.env


@dataclass
class Scene:
    resolved: ResolvedHost
    hostel: NameServer
    home: NameServer
    laptop: ResolvedAgent


@pytest.fixture
def scene() -> Iterator[Scene]:
    require_dbus()
    if not (TREE / "lib/systemd/systemd-resolved").is_file():
        pytest.skip("systemd-resolved is not in the cache (`make peers` fetches it on Debian)")
    if shutil.which("mount") is None:
        pytest.skip("mount is not installed")
    with open_world() as world:
        laptop = world.world.laptop
        set_name_server(laptop, "127.0.0.53")
        set_name_server(world.world.appliance, world.world.printer.ip)
        hostel, home = NameServer(world.world.phone), NameServer(world.world.printer)
        resolved = ResolvedHost(laptop)
        resolved.learn_lan(hostel.host.ip)
        world.home_gateway()
        node = ResolvedAgent(laptop, world.coordinator.new_key("family"))
        node.resolved = resolved
        node.up()
        node.wait_for_peer("appliance")
        yield Scene(resolved, hostel, home, node)


def test_resolved_asks_the_exit_node_alone_also_after_it_starts_anew(scene: Scene) -> None:
    host, resolved = scene.laptop.host, scene.resolved
    assert look_up(host, "before.example") == scene.hostel.host.ip
    scene.laptop.set("--exit-node=appliance")
    wait_until(lambda: look_up(host, "in.example") == scene.home.host.ip, SOON_S, "home answers")
    assert resolv_conf_of(host) == STUB
    recording = host.capture("eth0", "port 53")
    asked_before = scene.hostel.names()
    for number in range(3):
        assert look_up(host, f"inside{number}.example") == scene.home.host.ip
    resolved.program.kill()
    resolved.program = resolved.start()
    wait_until(lambda: look_up(host, "new.example") == scene.home.host.ip, SOON_S, "told again")
    assert scene.laptop.daemon is not None
    scene.laptop.daemon.kill()
    assert not look_up(host, "orphan.example").startswith(scene.hostel.host.ip)
    scene.laptop.start()
    wait_until(lambda: look_up(host, "back.example") == scene.home.host.ip, SOON_S, "back again")
    resolved.learn_lan(scene.hostel.host.ip)  # forgotten when resolved was killed
    scene.laptop.set("--exit-node-allow-lan-access")
    assert look_up(host, "still.example") == scene.home.host.ip
    assert look_up(host, "box.lan").startswith("no answer")  # resolved asks the LAN, in vain
    assert is_silent(recording)
    assert scene.hostel.names() == asked_before
    scene.laptop.set("--exit-node=")
    wait_until(
        lambda: look_up(host, "after.example") == scene.hostel.host.ip, SOON_S, "the hostel again"
    )
    assert "100.100.100.100" not in resolved.ctl("dns")
