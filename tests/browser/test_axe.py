"""Whether axe-core would find anything: with scripts, and on a page whose scripts never run."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Playwright, Route

from tests.support.browser import find_chromium, violations

_BAD: Final = """<!doctype html><html lang="en"><head><title>Bad</title>
<noscript><meta http-equiv="refresh" content="5"></noscript></head>
<body><main><h1>Bad</h1><input><p style="color: #ccc">pale</p></main></body></html>"""
_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@pytest.mark.timeout(60)
def test_what_is_wrong_is_found_without_scripts_too(playwright: Playwright) -> None:
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
    found = {}
    for scripts in (True, False):
        page = browser.new_page(java_script_enabled=scripts)
        page.route("**/*", _answer)
        page.goto("http://box.test/")
        found[scripts] = {text.split()[0] for text in violations(page, {}, scripts=scripts)}
    browser.close()
    assert found[True] == {"label", "color-contrast"}
    assert found[False] == found[True] | {"meta-refresh"}, "noscript is part of that page"


def _answer(route: Route) -> None:
    route.fulfill(body=_BAD, content_type="text/html", headers=_HEADERS)
