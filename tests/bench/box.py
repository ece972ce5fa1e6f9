"""The setup page as an appliance serves it: server time, bytes of a first load, memory.

house: laptop ── appliance (agent, coordinator, the page with its two workers)

Rows that other programs measured (the image, the playbook) are taken from build/bench/box-*.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Final

import psutil
from playwright.sync_api import Browser, sync_playwright

from tests.bench.mesh import CannotRunError
from tests.bench.quiet import Quiet
from tests.bench.report import RESULTS, Figure, Row, Target, publish, row
from tests.netns.lab.programs import process_pss_mb
from tests.support.browser import NARROW, browser_on, visit, why_no_browser
from tests.support.homebox import HomeBox, build_home
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.setuppages import PASSWORD
from tests.support.stranger import Stranger
from tests.support.wireguard import why_no_wireguard

PAGES: Final = (
    "/dashboard",
    "/devices",
    "/devices/add/android",
    "/networks",
    "/settings",
    "/settings/leave",
)
_ROUNDS: Final = 25
_RUNS: Final = 3
_PATIENCE_S: Final = 60.0
_P95_MS: Final = 50.0
_FIRST_LOAD_KB: Final = 100.0
_WORKERS_MB: Final = 90.0


def main() -> int:
    """Measure the page, add what others measured, and publish all of it."""
    reason = why_no_lab() or why_no_browser() or why_no_wireguard()
    if reason:
        raise CannotRunError(reason)
    quiet = Quiet(_PATIENCE_S)
    with fresh_lab() as lab:
        home = build_home(lab)
        box = HomeBox(home.appliance)
        box.start()
        owner = Stranger(home.laptop, box)
        with sync_playwright() as playwright, browser_on(playwright, home.laptop) as browser:
            first = _first_load_kb(browser, box, "/claim", {})
            _set_up(owner, box)
            overview = _first_load_kb(browser, box, "/dashboard", owner.cookies)
        before = _cpu_s(box)
        asked: list[float] = []
        times = [_p95_ms(owner, quiet, asked) for _ in range(_RUNS)]
        cpu = (_cpu_s(box) - before) * 1000 / len(asked)
        workers, together = _memory_mb(box)
    rows = [
        row("page, server time, 95th percentile", "ms", times, target=Target(at_most=_P95_MS)),
        row("CPU for a page, by all programs of the box", "ms", [cpu]),
        row("first load: claim", "kB", [first], target=Target(at_most=_FIRST_LOAD_KB)),
        row("first load: overview", "kB", [overview], target=Target(at_most=_FIRST_LOAD_KB)),
        row("two workers together", "MB PSS", [workers], target=Target(at_most=_WORKERS_MB)),
        row("the same with their master", "MB PSS", [together]),
        *_rows_of_others(),
    ]
    publish("box", rows, notes=[quiet.note(), f"pages: {' '.join(PAGES)}, {_ROUNDS} times each"])
    return 0 if all(r.met is not False for r in rows) else 1


def _set_up(owner: Stranger, box: HomeBox) -> None:
    """Claim the box, make a mesh, offer the networks."""
    owner.get("/claim")
    code = box.claim_code()
    steps = (
        ("/claim", {"code": code, "password": PASSWORD, "again": PASSWORD}),
        ("/mesh/found", {"server_url": f"{box.url}:8080"}),
        ("/networks", {"network": "auto", "exit_node": "yes", "snat": "yes"}),
    )
    for path, form in steps:
        reply = owner.post(path, form)
        if reply.status != 303:
            raise CannotRunError(f"{path} answers {reply.status}:\n{reply.body}")
        owner.get("/settings")  # its form has the session's token


def _p95_ms(owner: Stranger, quiet: Quiet, asked: list[float]) -> float:
    """From the request to the last byte, as the laptop on the same LAN sees it."""

    def measure() -> float:
        times = sorted(owner.get(path).seconds for path in PAGES for _ in range(_ROUNDS))
        asked.extend(times)
        return times[int(0.95 * len(times))] * 1000

    return quiet.measure(measure)


def _cpu_s(box: HomeBox) -> float:
    """What page, agent and coordinator have used so far."""
    total = 0.0
    for program in (box.webui, box.agent, box.coordinator):
        assert program is not None
        first = psutil.Process(program.pid)
        for process in (first, *first.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _first_load_kb(browser: Browser, box: HomeBox, path: str, cookies: dict[str, str]) -> float:
    """All that a browser with an empty cache transfers, headers included."""
    total = 0
    with visit(browser, box.url, width=NARROW) as window:
        window.context.add_cookies(
            [{"name": name, "value": value, "url": box.url} for name, value in cookies.items()]
        )
        session = window.context.new_cdp_session(window.page)
        session.send("Network.enable")
        sizes: list[float] = []
        session.on("Network.loadingFinished", lambda done: sizes.append(done["encodedDataLength"]))
        window.open(path)
        window.page.wait_for_timeout(500)  # what the page's scripts ask for, too
        total = sum(map(int, sizes))
    return total / 1000


def _memory_mb(box: HomeBox) -> tuple[float, float]:
    """The two workers after all these pages, and with the master that started them."""
    assert box.webui is not None
    workers = psutil.Process(box.webui.pid).children(recursive=True)
    alone = sum(process_pss_mb(worker.pid) for worker in workers)
    return alone, alone + process_pss_mb(box.webui.pid)


def _rows_of_others() -> Iterator[Row]:
    for file in sorted(RESULTS.glob("box-*.json")):
        for found in json.loads(file.read_text(encoding="utf-8")):
            figures = {key: found[key] and Figure(**found[key]) for key in ("ours", "peer")}
            yield Row(**(found | figures))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CannotRunError as error:
        sys.exit(f"box: {error}")
