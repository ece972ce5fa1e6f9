"""The repository's unit tests pass on the installed modules, with Debian 13's libraries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.package.conftest import ROOT, MakeSystem, note
from tests.package.tree import WANTED_LATER

LIMIT_S = 780
"""Five times what they take on two idle cores."""
# pytest-asyncio 0.25 asks Python 3.13 for a loop that it never closes.
FORGIVEN = (
    "-W 'ignore:unclosed <socket.socket:ResourceWarning' "
    "-W 'ignore:unclosed event loop:ResourceWarning'"
)
COPIED = ("tests", "image", "docs", "pyproject.toml")


@pytest.mark.timeout(900)
def test_unit_tests_pass_on_the_installed_package(make_system: MakeSystem, package: Path) -> None:
    system = make_system()
    system.boot()
    system.run("ip link set lo up")
    system.install(package, *WANTED_LATER)
    work = system.root / "root" / "work"
    work.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", ".*")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, work / name, ignore=ignore)
        else:
            shutil.copy(source, work / name)
    command = (
        "cd /root/work && PYTHONPATH=/usr/lib/latchkey PYTHONDONTWRITEBYTECODE=1 "
        f"python3 -m pytest -q -p no:cacheprovider {FORGIVEN} "
        "tests/unit/appliance tests/unit/webui 2>&1 | tail -n 60"
    )
    said = system.run(["sh", "-c", command], timeout_s=LIMIT_S)
    summary = said.strip().splitlines()[-1]
    note(f"unit tests with Debian 13's versions: {summary}")
    broken = any(word in summary for word in ("failed", "error"))
    if broken or "passed" not in summary:
        pytest.fail(said)
