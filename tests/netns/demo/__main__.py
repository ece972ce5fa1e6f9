"""`python -m tests.netns.demo [--check] | --clean`: run the demo, check it, or remove it."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from typing import Final, NoReturn

from tests.netns.demo import steps
from tests.netns.demo.play import render_commands, write_doors
from tests.netns.demo.report import Report
from tests.netns.lab import Lab, LabError
from tests.netns.topologies import HomeAndHostel, home_and_hostel
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode, Phone
from tests.support.peers import find_peer

NAME: Final = "demo"
_TOOLS: Final = ("ip", "nft", "tcpdump", "sh", "mount")
_PICTURE: Final = """\
   hostel LAN                  internet                     home LAN 192.168.1.0/24
 laptop -- NAT router --+--------------------+-- home NAT router --+-- appliance (Latchkey)
 phone (stock client)   |                    |                     +-- printer  (plain HTTP)
                     coordinator + relay   scanner                 +-- camera   (plain HTTP)
                     (a small VPS)         web server
"""


def main(argv: list[str] | None = None) -> int:
    """Exit status 0 when every row held (or there was nothing to hold)."""
    parser = argparse.ArgumentParser(prog="make demo", description="The whole mesh, end to end.")
    parser.add_argument("--check", action="store_true", help="tear all down, then 0 if all held")
    parser.add_argument("--clean", action="store_true", help="remove what an earlier demo left")
    parser.add_argument("--name", default=NAME, help="another demo beside this one (%(default)s)")
    options = parser.parse_args(argv)
    _need_root()
    _turn_signals_into_exceptions()
    if options.clean:
        Lab(options.name).clean()
        return 0
    try:
        return _run(options.name, check=options.check)
    except KeyboardInterrupt:
        return 130
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def run(lab: Lab, report: Report) -> None:
    """Build the world in an empty lab, take all steps, show the table; leaves all running."""
    began = time.monotonic()
    world = home_and_hostel(lab)
    steps.start_pages(world)
    report.step("0", f"{len(lab.hosts)} machines, built in {time.monotonic() - began:.2f} s")
    meshes: list[steps.Mesh] = []
    if report.check("coordinator and relay start", lambda: _populate(world, meshes)):
        steps.run_all(meshes[0], report)
    report.say(f"\n{report.table()}\n")
    report.say(f"logs: {lab.directory}")
    verdict = "every row held" if report.all_held else "NOT every row held"
    report.say(f"{verdict}, in {time.monotonic() - began:.0f} s")


def _run(name: str, *, check: bool) -> int:
    report = Report(sys.stdout)
    report.say(_PICTURE)
    with Lab(name) as lab:
        run(lab, report)
        if not check:
            report.say(render_commands(lab))
            _wait_for_the_end(report)
    return 0 if report.all_held else 1


def _populate(world: HomeAndHostel, meshes: list[steps.Mesh]) -> str:
    coordinator = Coordinator(world.vps)
    coordinator.start()
    coordinator.new_user("home")
    join = coordinator.new_key("home", "--reusable")
    caddy = find_peer("caddy")
    mesh = steps.Mesh(
        world=world,
        coordinator=coordinator,
        appliance=AgentNode(world.appliance, join),
        laptop=AgentNode(world.laptop, join),
        phone=Phone(world.phone, join, caddy) if caddy else None,
    )
    write_doors(world.lab, coordinator, [mesh.appliance, mesh.laptop])
    meshes.append(mesh)
    return coordinator.url


def _wait_for_the_end(report: Report) -> None:
    report.say("\nEverything keeps running. Ctrl-C ends it and removes all of it.")
    try:
        while True:
            signal.pause()
    except KeyboardInterrupt:
        report.say("\nremoving the demo ...")


def _need_root() -> None:
    if os.geteuid() != 0:
        command = [sys.executable, "-m", "tests.netns.demo", *sys.argv[1:]]
        if shutil.which("sudo") is None:
            sys.exit("demo: network namespaces need root; run `make demo` as root")
        print(f"demo: needs root: sudo {shlex.join(command)}", flush=True)
        os.execvp("sudo", ["sudo", *command])
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        sys.exit(f"demo: {', '.join(missing)} not found; `make setup` installs what is needed")


def _turn_signals_into_exceptions() -> None:
    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    # A shell's background jobs are started with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    sys.exit(main())
