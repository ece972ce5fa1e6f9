"""A house with a box that has just been unpacked, and its owner's browser on the sofa."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Playwright

from tests.support.browser import Visit, browser_on, visit, why_no_browser
from tests.support.homebox import Home, HomeBox, build_home
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import Join
from tests.support.setuppages import ClaimPage, NetworksPage, NewMeshPage
from tests.support.wireguard import why_no_wireguard

_FOUNDING_MS: Final = 40_000


@dataclass(frozen=True, slots=True)
class House:
    """The lab, the box and the browser."""

    home: Home
    box: HomeBox
    browser: Browser

    def join_with(self, key: str) -> Join:
        """What a stock client needs to join the box's own mesh with this key."""
        file = self.home.phone.directory / "key"
        file.touch(mode=0o600)
        file.write_text(key, encoding="ascii")
        return Join(f"{self.box.url}:8080", file, Path("/dev/null"))

    def knows(self, name: str) -> bool:
        """Whether the box's own coordinator has a node of this name."""
        nodes = json.loads(self.box.latchkey("admin", "nodes", "list", "--json"))["nodes"]
        return any(node["name"] == name for node in nodes)

    def visit(self, **options: Any) -> AbstractContextManager[Visit]:
        """A new window on the laptop; see ``browser.visit``."""
        return visit(self.browser, self.box.url, **options)


def claim_box(house: House, window: Visit) -> None:
    """Until the owner has to choose a mesh."""
    page = ClaimPage(window)
    page.open()
    page.claim(house.box.claim_code())
    window.page.wait_for_url("**/mesh")


def found_mesh(window: Visit) -> None:
    """From there until the box is in a mesh of its own."""
    page = NewMeshPage(window)
    page.open()
    page.make()
    window.page.wait_for_url(lambda url: "/mesh" not in url, timeout=_FOUNDING_MS)


def offer_networks(window: Visit) -> None:
    """From there until the setup is done."""
    page = NetworksPage(window)
    page.open()
    page.offer()
    window.page.wait_for_url("**/devices**")


@contextmanager
def open_house(playwright: Playwright) -> Iterator[House]:
    """Build it, boot the box, open the browser; all of it goes with the block."""
    reason = why_no_lab() or why_no_browser() or why_no_wireguard()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        home = build_home(lab)
        box = HomeBox(home.appliance)
        box.start()
        with browser_on(playwright, home.laptop) as browser:
            yield House(home, box, browser)
