"""``latchkey firstboot``: what the services latchkey-firstboot, -welcome and -clock run."""

import argparse
import contextlib
import json
import logging
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from appliance.exit_status import ExitStatus
from appliance.firstboot import memory, screens, system
from appliance.firstboot.card import CLAIM, DEFAULT_FOLDER, ERROR, BootPartition
from appliance.firstboot.clock import Machine, keep_clock, named_login_server
from appliance.firstboot.config import BoxConfig, parse, without_auth_key
from appliance.firstboot.errors import FirstbootError, LaterError
from appliance.firstboot.join import join
from appliance.host.errors import FileProblemError
from appliance.host.files import read_bounded
from appliance.localapi.client import DEFAULT_SOCKET, LocalClient

_log = logging.getLogger(__name__)

_CODE_FILE: Final = Path("/run/latchkey-webui/claim-code")
_UNTIL_FILE: Final = "claim-until"
"""Beside it: seconds since the boot at which the code ends."""
_LOOK_S: Final = 3.0
_TRY_AGAIN_S: Final = 15.0


def main(arguments: list[str]) -> int:
    """Run one of the parts."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    card = BootPartition(options.boot)
    if options.part == "settings":
        return apply_settings(card, system.Paths())
    client = LocalClient(options.socket)
    if options.part == "clock":
        return keep_clock(lambda: named_login_server(client), Machine())
    return Box(card, system.Paths(), client, options.code).run()


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``latchkey firstboot``."""
    root = argparse.ArgumentParser(
        prog="latchkey firstboot",
        description="The first boot of the card: sets the box up as latchkey.toml on its boot "
        "partition says, and shows how to claim it. The box's services run the parts at each "
        "start; what was done is not done again.",
    )
    root.add_argument(
        "--boot",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help="the boot partition (%(default)s): latchkey.toml is read there, and what went wrong "
        "and how to claim the box are written there",
    )
    root.add_argument(
        "--socket",
        type=Path,
        default=DEFAULT_SOCKET,
        metavar="PATH",
        help="the Local API's socket (%(default)s)",
    )
    root.add_argument(
        "--code",
        type=Path,
        default=_CODE_FILE,
        metavar="FILE",
        help="where the setup page keeps the claim code (%(default)s)",
    )
    root.add_argument(
        "part",
        choices=("settings", "welcome", "clock"),
        metavar="PART",
        help="settings (name, SSH and Wi-Fi, before there is a network), welcome (join the mesh, "
        "and show the claim code until the box has an owner) or clock (ask the login server for "
        "the time until NTP has answered)",
    )
    return root


def apply_settings(card: BootPartition, paths: system.Paths) -> int:
    """Do what the file says of this machine; say on the boot partition what cannot be done."""
    problem = ""
    try:
        system.keep_names(paths)
        config = _read(card)
        done = memory.load(paths.box)
        wanted = memory.settings_print(config, paths.system_name())
        if wanted != done.settings:
            system.apply(config, paths)
            memory.save(paths.box, memory.Done(wanted, done.mesh))
            system.keep_names(paths)
    except (FirstbootError, FileProblemError) as error:
        problem = str(error)
        _log.warning("%s", problem)
    with contextlib.suppress(FirstbootError):
        card.write_note(ERROR, f"{problem}\n" if problem else "")
    return ExitStatus.OK


def _read(card: BootPartition) -> BoxConfig:
    data = card.read_config()
    return BoxConfig() if data is None else parse(data)


class Box:
    """Joins as told, and shows the claim code as it is now.

    It stays only until it has joined. A new code, another address and the end of the hour start
    the service again (latchkey-welcome.path, .timer, NetworkManager's dispatcher).
    """

    def __init__(
        self, card: BootPartition, paths: system.Paths, client: LocalClient, code: Path
    ) -> None:
        self._card = card
        self._paths = paths
        self._client = client
        self._code = code
        self._problem = ""
        self._shown: screens.Welcome | None = None
        self._mesh_done = False
        self._next_try = 0.0

    def run(self) -> int:
        """Look every few seconds until the mesh is joined or cannot be."""
        while True:
            welcome = self._look()
            if welcome != self._shown:
                self._show(welcome)
            if self._mesh_done:
                return ExitStatus.OK
            if time.monotonic() >= self._next_try:
                self._try_to_join()
            else:
                time.sleep(_LOOK_S)

    def _try_to_join(self) -> None:
        try:
            config = _read(self._card)
            done = memory.load(self._paths.box)
            wanted = memory.mesh_print(config.mesh)
            if config.mesh is not None and (config.mesh.auth_key or wanted != done.mesh):
                join(self._client, config.mesh)
                self._forget_key()
                memory.save(self._paths.box, memory.Done(done.settings, wanted))
            self._problem, self._mesh_done = "", True
        except LaterError as error:
            self._problem = str(error)
            self._next_try = time.monotonic() + _TRY_AGAIN_S
        except (FirstbootError, FileProblemError) as error:
            self._problem, self._mesh_done = str(error), True
            _log.warning("%s", error)
            with contextlib.suppress(FirstbootError):
                self._card.write_note(ERROR, f"{error}\n")

    def _forget_key(self) -> None:
        data = self._card.read_config()
        if data is not None and b"auth_key" in data:
            self._card.write_config(without_auth_key(data))

    def _look(self) -> screens.Welcome:
        data = read_bounded(self._code, 4096) or b""
        return screens.Welcome(
            socket.gethostname(),
            addresses(),
            screens.parse_code(data),
            self._problem or self._paths.disk_problem(),
            expired=self._is_over(),
        )

    def _is_over(self) -> bool:
        until = read_bounded(self._code.with_name(_UNTIL_FILE), 64) or b""
        try:
            return float(until) <= time.clock_gettime(time.CLOCK_BOOTTIME)
        except ValueError:
            return False

    def _show(self, welcome: screens.Welcome) -> None:
        self._shown = welcome
        screens.show(screens.render_screen(welcome, _qr))
        try:
            self._card.write_note(CLAIM, screens.render_note(welcome))
        except FirstbootError as error:
            _log.warning("%s", error)


def addresses() -> tuple[str, ...]:
    """Return this machine's IPv4 addresses in its LANs."""
    command = ["ip", "-json", "-4", "address", "show", "scope", "global", "up"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=10)
        links = json.loads(done.stdout or b"[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return ()
    return tuple(
        str(info["local"])
        for link in links
        if link.get("ifname", "").startswith(("e", "w")) and "ifname" in link
        for info in link.get("addr_info", ())
    )


def _qr(text: str) -> str:
    try:
        import segno
    except ImportError:
        return ""
    import io

    out = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(out, border=2, compact=True)
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
