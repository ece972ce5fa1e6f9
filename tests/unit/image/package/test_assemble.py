"""The source tree of the package."""

from pathlib import Path

import pytest

from appliance.version import VERSION
from image.package.assemble import ROOT, copy_sources, render_changelog, source_date, version_of


def test_the_version_is_the_one_that_the_programs_say() -> None:
    assert version_of(ROOT) == VERSION


def test_the_date_is_the_one_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert source_date() == 86400


def test_the_changelog_has_version_and_date() -> None:
    text = render_changelog("1.2", 86400)
    assert text.startswith("latchkey (1.2) ")
    assert text.endswith("  Fri, 02 Jan 1970 00:00:00 +0000\n")


def test_caches_are_not_copied(tmp_path: Path) -> None:
    copy_sources(tmp_path)
    names = [path.name for path in tmp_path.rglob("*")]
    assert "control" in names
    assert not [name for name in names if name == "__pycache__" or name.endswith(".pyc")]
