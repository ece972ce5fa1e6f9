"""Fixtures of the lab tests: a lab per test, and a named skip where none can be built."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.lab import Lab
from tests.support.labs import fresh_lab, why_no_lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty lab of this test's own, cleaned away afterwards."""
    reason = why_no_lab()
    if reason:
        pytest.skip(reason)
    with fresh_lab() as fresh:
        yield fresh
