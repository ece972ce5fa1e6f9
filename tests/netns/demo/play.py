"""Doors into the demo's machines, and the list of commands to play with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from tests.netns.lab import Lab
from tests.netns.lab.lab import REPOSITORY
from tests.support.coordinator import Coordinator
from tests.support.mesh import LATCHKEY, AgentNode


def write_doors(lab: Lab, coordinator: Coordinator, nodes: Sequence[AgentNode]) -> None:
    """One script a machine, `on-<machine> COMMAND...`, with `latchkey` already pointed right."""
    for host in lab.hosts:
        tools = host.directory / "bin"
        tools.mkdir(exist_ok=True)
        command = shlex.join(host.argv(["env", f"PATH={tools}:/usr/sbin:/usr/bin:/sbin:/bin"]))
        _write(lab.directory / f"on-{host.name}", f'exec {command} "$@"\n')
    for node in nodes:
        command = shlex.join([str(LATCHKEY), "--socket", str(node.socket)])
        _write(node.host.directory / "bin" / "latchkey", f'exec {command} "$@"\n')
    admin = shlex.join([str(LATCHKEY), "admin", "--socket", str(coordinator.admin_socket)])
    script = f'[ "$1" = admin ] || exec {LATCHKEY} "$@"\nshift\nexec {admin} "$@"\n'
    _write(coordinator.host.directory / "bin" / "latchkey", script)


def render_commands(lab: Lab) -> str:
    """What a visitor may type in another terminal (as root)."""
    place = lab.directory
    if Path.cwd().is_relative_to(REPOSITORY):
        place = lab.directory.relative_to(REPOSITORY)
    tries = [
        ("on-laptop latchkey status", "who is there, and by which path"),
        ("on-laptop latchkey ping appliance", "the path, measured"),
        ("on-laptop latchkey routes", "what leads home, and what proves it"),
        ("on-laptop latchkey doctor 192.168.1.20", "why the printer can, or cannot, be reached"),
        ("on-laptop latchkey set --exit-node=", "back to the hostel's own internet"),
        ("on-vps latchkey admin nodes list", "what the coordinator knows"),
        ("on-appliance nft list table inet latchkey", "the packet filter at home"),
        ("on-laptop tcpdump -ni eth0 udp", "what a stranger on the hostel's LAN sees"),
    ]
    width = max(len(command) for command, _ in tries)
    lines = [f"  {place}/{command.ljust(width)}  {what}" for command, what in tries]
    return "\n".join(["Commands to play with, as root in another terminal:", "", *lines])


def _write(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}", encoding="utf-8")
    file.chmod(0o755)
