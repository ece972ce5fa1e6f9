"""``latchkey agent``: the daemon of a node."""

import argparse
import asyncio
import contextlib
import logging
import os
import pwd
import signal
import socket
import sys
from collections.abc import Iterator

import msgspec

from appliance.agent import settings as agent_settings
from appliance.agent.box import Box
from appliance.agent.doctor.offline import examine_offline
from appliance.agent.errors import AgentError
from appliance.agent.failures import MACHINE_ERRORS, status_of
from appliance.agent.settings import Settings
from appliance.agent.statefile import StateStore
from appliance.agent.wiring import make_rooms, open_agent
from appliance.exit_status import ExitStatus
from appliance.host.capabilities import CAP_NET_ADMIN, CAP_NET_RAW, has_capability
from appliance.host.notify import Notifier
from appliance.host.unixsocket import SocketInUseError, listen_unix
from appliance.localapi.server import Trusted, serve_local_api

_log = logging.getLogger("latchkey")


def main(arguments: list[str]) -> int:
    """Run the agent until it is told to stop; return the exit status."""
    options = agent_settings.parser().parse_args(arguments)
    try:
        settings = _load(options)
        if options.doctor is not None:
            return asyncio.run(_examine(settings, options.doctor))
        _require_rights()
        _log_to_stderr(verbose=settings.verbose)
        if options.clean_up:
            asyncio.run(_clean_up(settings, stay_down=options.stay_down))
        elif options.hold_back:
            asyncio.run(_hold_back(settings))
        else:
            asyncio.run(_run(settings))
    except MACHINE_ERRORS as error:
        return _fail(str(error), status_of(error))
    except SocketInUseError as error:
        return _fail(str(error), ExitStatus.ALREADY_RUNNING)
    return ExitStatus.OK


def _load(options: argparse.Namespace) -> Settings:
    """Read the settings; wrong ones are no reason to let an exit node's traffic out at boot."""
    try:
        return agent_settings.load(options)
    except AgentError:
        if options.hold_back:
            asyncio.run(_hold_back(Settings()))
        raise


async def _run(settings: Settings) -> None:
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    trusted = Trusted(_uid_of(settings.operator), _uid_if_any(settings.setup_page_user))
    with _listening(settings) as sock:
        async with open_agent(settings) as agent:
            await agent.begin()
            box = Box(settings, agent.standing.around, agent.standing.membership)
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(agent.run(), name="agent"),
                    tasks.create_task(box.run(), name="box"),
                    tasks.create_task(serve_local_api(sock, agent, box, trusted), name="local api"),
                ]
                notifier.ready()
                await stop.wait()
                notifier.stopping()
                for task in running:
                    task.cancel()
            await agent.end()


async def _examine(settings: Settings, target: str) -> int:
    report = await examine_offline(settings, target)
    print(msgspec.json.encode(report).decode())
    return ExitStatus.of(report.code)


async def _hold_back(settings: Settings) -> None:
    """Close what an exit node in use closes, and leave it so for the daemon to come."""
    async with open_agent(settings) as agent:
        if agent.holds_back:
            await agent.standing.close_the_door()


async def _clean_up(settings: Settings, *, stay_down: bool) -> None:
    if stay_down and (settings.state_dir / "state.json").exists():
        store = StateStore(settings.state_dir)
        state = store.load()
        prefs = msgspec.structs.replace(state.prefs, want_running=False)
        store.save(msgspec.structs.replace(state, prefs=prefs))
    rooms = await make_rooms(settings)
    await rooms.dns.clean_up()
    await rooms.dataplane.clean_up()
    await rooms.gateway.clean_up()


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        sock = listen_unix(settings.socket, 0o666)
    except OSError as error:
        raise AgentError(
            f"The agent's socket {settings.socket} cannot be made: {error.strerror}. Choose "
            "another place with --socket.",
            ExitStatus.STATE_UNUSABLE,
        ) from None
    try:
        yield sock
    finally:
        sock.close()
        settings.socket.unlink(missing_ok=True)


def _require_rights() -> None:
    if not (has_capability(CAP_NET_ADMIN) and has_capability(CAP_NET_RAW)):
        raise AgentError(
            "The agent changes this machine's network and needs the right to. Run it as root, "
            "or with CAP_NET_ADMIN and CAP_NET_RAW.",
            ExitStatus.NOT_ROOT,
        )


def _uid_of(user: str) -> int | None:
    uid = _uid_if_any(user)
    if user and uid is None:
        raise AgentError(f"There is no user {user!r} to be the operator.", ExitStatus.CONFIG_WRONG)
    return uid


def _uid_if_any(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid if user else None
    except KeyError:
        return None


def _log_to_stderr(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def _fail(message: str, status: ExitStatus) -> int:
    print(f"latchkey agent: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
