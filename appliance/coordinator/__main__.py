"""``latchkey coordinator``: reads the settings, starts, and ends on SIGTERM."""

import argparse
import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.coordinator.policy.load import load_policy_text
from appliance.coordinator.relayport import RelayFactory
from appliance.coordinator.service import Resources, Service
from appliance.coordinator.settings import (
    DEFAULT_CONFIG,
    SETUP_CONFIG,
    Settings,
    find_config,
    load_settings,
)
from appliance.exit_status import ExitStatus
from appliance.host.errors import FileProblemError
from appliance.host.notify import Notifier

_log = logging.getLogger(__name__)

FOLLOW_S: Final = 1.0
"""A person who has just clicked waits for it."""

_EPILOG = """\
A settings file needs one line to begin with:
    server_url = "https://vpn.example.org"
With a certificate ([tls] cert and key) it serves HTTPS on every address; without, plain HTTP on
127.0.0.1:8080 for a proxy in front. It is administered with `latchkey admin`.
"""


def main(argv: list[str], make_relay: RelayFactory | None = None) -> int:
    """Run the program; return its exit status. ``make_relay`` brings the embedded relay."""
    arguments = parser().parse_args(argv)
    config = arguments.config or find_config()
    follow = config if arguments.follow_config or config == SETUP_CONFIG else None
    try:
        settings = load_settings(config)
        if arguments.check:
            load_policy_text(settings.policy_file)
            print(f"{config} is fine.")
            return ExitStatus.OK
        _set_up_logging(verbose=settings.verbose or arguments.verbose)
        _raise_file_limit()
        while _serve(settings, make_relay, follow) and config.exists():
            _log.info("The settings in %s changed.", config)
            settings = load_settings(config)
    except Exception as error:
        status = exit_status_of(error)
        if status is None:
            raise
        print(f"latchkey coordinator: {error}", file=sys.stderr)
        return status
    return ExitStatus.OK


def _serve(settings: Settings, make_relay: RelayFactory | None, follow: Path | None) -> bool:
    """Run until told to stop, or until the file that is followed is another one: then True."""
    resources = Resources.acquire(settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_run(settings, resources, make_relay, follow))
    finally:
        resources.release()


def exit_status_of(error: Exception) -> ExitStatus | None:
    """Return the status that goes with a failed start; ``None`` for a fault of our own.

    The embedded relay's errors are its own classes, which say their status the same way.
    """
    if isinstance(error, FileProblemError):
        return ExitStatus.STATE_UNUSABLE
    status = getattr(error, "status", None)
    return status if isinstance(status, ExitStatus) else None


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``latchkey coordinator``."""
    root = argparse.ArgumentParser(
        prog="latchkey coordinator",
        description="The coordination server of a mesh: admits nodes and tells each of the others.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the settings file ({DEFAULT_CONFIG}, else {SETUP_CONFIG})",
    )
    root.add_argument(
        "--follow-config",
        action="store_true",
        help="read the settings file again when it changes, and end when it vanishes (as with the "
        "setup page's)",
    )
    root.add_argument("--check", action="store_true", help="only check settings and policy file")
    root.add_argument("--verbose", action="store_true", help="log more")
    return root


def _set_up_logging(*, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for chatty in ("asyncio", "hpack", "h2", "sqlalchemy"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


async def _run(
    settings: Settings,
    resources: Resources,
    make_relay: RelayFactory | None,
    follow: Path | None,
) -> bool:
    service = Service(settings, resources, make_relay)
    notifier = Notifier(os.environ.get("NOTIFY_SOCKET"))
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(service.run(), name="service")
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, serving.cancel)
            loop.add_signal_handler(
                signal.SIGHUP, lambda: tasks.create_task(service.reload(), name="reload")
            )
            if follow is not None:
                tasks.create_task(_follow(follow, changed, serving), name="settings follower")
            notifier.ready()
            await serving
    if not changed.is_set():
        notifier.stopping()
        _log.info("Stopped.")
    return changed.is_set()


async def _follow(config: Path, changed: asyncio.Event, serving: asyncio.Task[None]) -> None:
    """End the service when its settings are other ones, or gone."""
    before = _identity(config)
    while True:
        await asyncio.sleep(FOLLOW_S)
        if _identity(config) != before:
            changed.set()
            serving.cancel()
            return


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _raise_file_limit() -> None:
    """Use all file descriptors we may: each connection costs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, which the embedded relay wants for its speed, or ``None``."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
