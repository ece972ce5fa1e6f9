"""``python -m appliance.relay``: the relay program."""

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance.exit_status import ExitStatus
from appliance.host.errors import FileProblemError
from appliance.host.notify import Notifier
from appliance.relay.errors import RelayError
from appliance.relay.service import RelayService
from appliance.relay.settings import RelaySettings, load_settings

_log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the relay until SIGTERM or SIGINT; returns the exit status."""
    options = parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        settings = load_settings(options.config)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, Notifier(os.environ.get("NOTIFY_SOCKET"))))
    except RelayError as error:
        _log.error("%s", error)
        return error.status
    except FileProblemError as error:
        _log.error("%s", error)
        return ExitStatus.STATE_UNUSABLE
    return ExitStatus.OK


def parser() -> argparse.ArgumentParser:
    """Build the parser of ``latchkey relay``."""
    root = argparse.ArgumentParser(
        prog="latchkey relay", description="Carries packets between nodes without a direct path."
    )
    root.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the settings file"
    )
    root.add_argument("--verbose", action="store_true", help="log every connection")
    return root


async def _serve(settings: RelaySettings, notifier: Notifier) -> None:
    _raise_file_limit()
    service = RelayService(settings)
    _announce(settings, service)
    # What is alive now stays so; the collector need not look at it again.
    gc.freeze()
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(service.run(), name="relay service")
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, serving.cancel)
        notifier.ready()
        with suppress(asyncio.CancelledError):
            await serving
    notifier.stopping()


def _announce(settings: RelaySettings, service: RelayService) -> None:
    addresses = ", ".join(map(str, service.addresses))
    _log.info("relay %s listens on %s", settings.host, addresses)
    if service.certificate.pin:
        _log.info(
            "nobody signed its certificate; the DERP map names it as CertName %s",
            service.certificate.pin,
        )


def _raise_file_limit() -> None:
    """Use all file descriptors we may: each connection costs one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, or None for asyncio's own loop: a fifth slower, otherwise alike."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


if __name__ == "__main__":
    sys.exit(main())
