"""The lab's web pages: one process a host, saying who serves and who asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.netns.lab.host import Host
from tests.netns.lab.programs import Program

SCRIPTS: Final = Path(__file__).with_name("scripts")


def start_page(host: Host, port: int = 80) -> Program:
    """Serve a page on every address of the host: `<host> sees <client address>`."""
    return host.start(
        f"web-{port}", [sys.executable, str(SCRIPTS / "web.py"), host.name, str(port)]
    )


def client_seen(page: str) -> str:
    """The client's address that a page names."""
    return page.strip().rpartition(" sees ")[2]
