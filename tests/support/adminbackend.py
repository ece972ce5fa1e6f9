"""The admin API on a Unix socket in a thread, before a real coordinator without nodes."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.adminapi.server import serve_admin_api
from appliance.coordinator.admin import explain
from appliance.host.unixsocket import Caller, listen_unix
from tests.support.tailnet import Realm, running_realm


class ServedRealm:
    """A realm that other threads may ask."""

    def __init__(self, realm: Realm, loop: asyncio.AbstractEventLoop) -> None:
        self.realm = realm
        self._loop = loop

    def run(self, coroutine):
        """Run a coroutine where the coordinator runs, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@contextmanager
def served_realm(
    path: Path, may_call: Callable[[Caller], bool] = lambda _caller: True
) -> Iterator[ServedRealm]:
    """Serve a realm's admin API at ``path`` for synchronous clients."""
    ready: list[ServedRealm] = []
    started, ended = threading.Event(), asyncio.Event()
    failure: list[BaseException] = []

    async def serve() -> None:
        with listen_unix(path, 0o600) as sock:
            async with running_realm() as realm, asyncio.TaskGroup() as tasks:
                api = serve_admin_api(sock, realm.coordinator.admin, may_call, explain)
                task = tasks.create_task(api)
                ready.append(ServedRealm(realm, asyncio.get_running_loop()))
                started.set()
                await ended.wait()
                task.cancel()

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # shown by the test's thread
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=main)
    thread.start()
    started.wait(10)
    try:
        if failure:
            raise failure[0]
        yield ready[0]
    finally:
        if ready:
            ready[0]._loop.call_soon_threadsafe(ended.set)
        thread.join(10)
    if failure:
        raise failure[0]
