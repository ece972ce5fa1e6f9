"""The house of each module, and the one Playwright that drives all browsers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.support.browser import why_no_browser
from tests.support.house import House, open_house
from tests.support.labs import why_no_lab


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The driver; it starts no browser by itself."""
    reason = why_no_lab() or why_no_browser()
    if reason:
        pytest.skip(reason)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def house(playwright: Playwright) -> Iterator[House]:
    """A box that nobody owns yet."""
    with open_house(playwright) as opened:
        yield opened
