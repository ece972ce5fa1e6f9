"""Chromium on a lab host: what it asked for, what it complained of, axe, and pictures.

The browser runs inside the host's network namespace, with a profile of its own that ends with
it; Playwright outside drives it over a pipe.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Playwright,
    Request,
)

from tests.netns.lab import REPOSITORY, Host
from tests.netns.lab.programs import PATIENCE

SCREENS: Final = REPOSITORY / "build" / "screens"
NARROW: Final = 360
WIDE: Final = 1280
_HEIGHTS: Final = {NARROW: 740, WIDE: 800}
_PATIENCE_MS: Final = 20_000 * PATIENCE
_PHOTOS: Final = 3
_FLAGS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
Theme = Literal["light", "dark"]
THEMES: Final[tuple[Theme, ...]] = ("light", "dark")

_RULES: Final[dict[Theme, dict[str, Any]]] = {
    "light": {"rules": {"target-size": {"enabled": True}}},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
}
"""All of axe-core's rules, and one that it leaves off; the other theme differs in colours only."""

_TIMERS: Final = """
    window.axeTold = [];
    window.axeTimers = [];
    window.setTimeout = (run, _ms, ...words) => axeTimers.push(() => run(...words));
    window.clearTimeout = (number) => { axeTimers[number - 1] = () => {}; };
    0
"""
_TURN: Final = "for (const run of axeTimers.splice(0)) run(); axeTold.length > 0"
_MAX_TURNS: Final = 200
"""Timers fire when their turn comes, whatever their time: axe-core needs two or three turns."""


def find_chromium() -> Path | None:
    """Debian's browser, under the one or the other name."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    return Path(found) if found else None


def why_no_browser() -> str | None:
    """None when pages can be opened here, else the reason for a named skip."""
    if find_chromium() is None:
        return "the setup page's tests need Debian's chromium"
    return None


@contextmanager
def browser_on(playwright: Playwright, host: Host) -> Iterator[Browser]:
    """Chromium inside a lab host."""
    program = find_chromium()
    assert program is not None
    door = host.directory / "chromium"
    door.write_text(f'#!/bin/sh\nexec {shlex.join(host.argv([str(program)]))} "$@"\n')
    door.chmod(0o755)
    browser = playwright.chromium.launch(executable_path=door, args=list(_FLAGS))
    try:
        yield browser
    finally:
        browser.close()


@dataclass(slots=True)
class Visit:
    """One browser window with a memory: every request, and every complaint."""

    context: BrowserContext
    page: Page
    origin: str
    width: int
    javascript: bool
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def strangers(self) -> list[str]:
        """Requests that went anywhere but to the box."""
        return [url for url in self.requests if not _is_at(url, self.origin)]

    def open(self, path: str) -> Page:
        """Go to a page of the box."""
        self.page.goto(self.origin + path)
        return self.page

    def shoot(self, name: str) -> list[str]:
        """Photograph the page in both themes; returns what is wrong with it for its readers."""
        SCREENS.mkdir(parents=True, exist_ok=True)
        wrong = []
        for theme in THEMES:
            self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            file = SCREENS / f"{name}-{self.width}-{theme}.png"
            photograph(self.page, file)
            found = violations(self.page, _RULES[theme], scripts=self.javascript)
            wrong += [f"{name} {self.width} {theme}: {v}" for v in found]
        if wide := overflow(self.page):
            wrong.append(f"{name}: {wide}px of content at {self.width}px")
        return wrong


@contextmanager
def visit(
    browser: Browser,
    origin: str,
    *,
    width: int = WIDE,
    javascript: bool = True,
    locale: str = "en-GB",
    **options: Any,
) -> Iterator[Visit]:
    """A new window, without cookies of others."""
    context = browser.new_context(
        viewport={"width": width, "height": _HEIGHTS.get(width, 800)},
        java_script_enabled=javascript,
        locale=locale,
        **options,
    )
    context.set_default_timeout(_PATIENCE_MS)
    try:
        page = context.new_page()
        window = Visit(context, page, origin, width, javascript)
        context.on("request", lambda request: _note(window, request))
        context.on("console", lambda message: _hear(window, message))
        context.on("weberror", lambda error: window.complaints.append(f"error: {error.error}"))
        yield window
    finally:
        context.close()


def photograph(page: Page, file: Path, *, whole: bool = True) -> None:
    """A picture of the page; Chromium may need a second try on a busy machine."""
    for attempt in range(_PHOTOS, 0, -1):
        try:
            page.screenshot(path=file, full_page=whole, animations="disabled")
        except Error:
            if attempt == 1:
                raise
        else:
            return


def violations(page: Page, options: dict[str, Any], *, scripts: bool = True) -> list[str]:
    """What axe-core finds wrong with the page as it is now.

    A page without scripts lets the debugger evaluate all the same, on the very elements that its
    visitor has, those of ``noscript`` too; but its timers never fire, so they are driven here.
    """
    given = json.dumps({"resultTypes": ["violations"]} | options)
    if not scripts:
        page.evaluate(_TIMERS)
    page.evaluate(f"{_axe()};0")
    report = _run_by_hand(page, given) if not scripts else page.evaluate(f"axe.run({given})")
    return [
        f"{v['id']} ({v['impact']}): {v['help']}: "
        + " | ".join(node["html"][:120] for node in v["nodes"][:4])
        for v in report["violations"]
    ]


def _run_by_hand(page: Page, options: str) -> dict[str, Any]:
    page.evaluate(f"axe.run(document, {options}, (e, r) => axeTold.push([e && String(e), r])); 0")
    for _ in range(_MAX_TURNS):
        if page.evaluate(_TURN):
            break
    error, report = page.evaluate("axeTold.pop()")
    assert error is None, error
    found: dict[str, Any] = report
    return found


def overflow(page: Page) -> int:
    """How wide the content is, when that is wider than the window; else 0."""
    width, window = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    return int(width) if width > window else 0


def focus_is_visible(page: Page) -> bool:
    """Whether the element with the focus looks different from how it looks without."""
    return bool(
        page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0)
                    || style.boxShadow !== "none";
            }"""
        )
    )


def _note(window: Visit, request: Request) -> None:
    window.requests.append(request.url)


def _hear(window: Visit, message: ConsoleMessage) -> None:
    if message.type not in ("error", "warning"):
        return
    path = urlsplit(message.location["url"]).path
    if path.endswith("/live") and "status of 503" in message.text:
        return  # as many streams as a worker has room for are open: the page asks again later
    window.complaints.append(f"{message.type}: {message.text} ({path})")


def _is_at(url: str, origin: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "data" or f"{parts.scheme}://{parts.netloc}" == origin


@functools.cache
def _axe() -> str:
    """The text of axe-core, from the package that carries it."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")
