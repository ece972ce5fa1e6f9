"""The README's pictures of the setup page, put together from what the browser tests photographed.

Run ``pytest tests/browser/test_journey.py`` first, then ``python -m tests.support.pictures``; it
writes docs/images/*.png and needs no lab.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from tests.support.browser import SCREENS, find_chromium, why_no_browser

IMAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
_FRAMES: Final = {
    "setup-page": (
        ("claim-360-light", 264, 560),
        ("networks-first-360-light", 264, 560),
        ("device-joined-360-light", 264, 560),
    ),
    "overview": (("dashboard-1280-light", 840, 556),),
}
"""Picture: the screens side by side, each with its width and how much of its height is shown."""
_STYLE: Final = """
  body { margin: 0; padding: 20px; display: inline-flex; gap: 20px; background: transparent }
  div { overflow: hidden; border-radius: 14px; border: 1px solid #8b928c66 }
  img { display: block; width: 100% }
"""


def main() -> None:
    """Write all of them."""
    reason = why_no_browser()
    if reason:
        sys.exit(f"pictures: {reason}")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for name in _FRAMES:
            _draw(browser, name)
            print(IMAGES / f"{name}.png")
        browser.close()


def _draw(browser: Browser, name: str) -> None:
    page = browser.new_page(viewport={"width": 900, "height": 700}, device_scale_factor=1.25)
    frames = "".join(_frame(*frame) for frame in _FRAMES[name])
    page.set_content(f"<style>{_STYLE}</style><body>{frames}</body>")
    page.locator("body").screenshot(path=IMAGES / f"{name}.png", omit_background=True)
    page.close()


def _frame(screen: str, width: int, height: int) -> str:
    file = SCREENS / f"{screen}.png"
    if not file.exists():
        sys.exit(f"pictures: {file} is missing: run pytest tests/browser/test_journey.py first")
    data = base64.b64encode(file.read_bytes()).decode()
    box = f"width: {width}px; height: {height}px"
    return f'<div style="{box}"><img src="data:image/png;base64,{data}"></div>'


if __name__ == "__main__":
    main()
