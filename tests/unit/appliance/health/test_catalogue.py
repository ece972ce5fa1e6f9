import re

import pytest

from appliance.health.catalogue import CATALOGUE, warn


@pytest.mark.parametrize("code", sorted(CATALOGUE))
def test_every_entry_can_be_filled_in(code: str) -> None:
    entry = CATALOGUE[code]
    words = {name: name.upper() for name in re.findall(r"{(\w+)}", entry.text + entry.fix)}
    warning = warn(code, "x", **words)
    assert "{" not in warning.sentence
    assert warning.severity is entry.severity
    assert entry.title


def test_codes_are_words_with_hyphens() -> None:
    assert [code for code in CATALOGUE if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)] == []


def test_warnings_of_one_code_differ_by_subject_alone() -> None:
    one = warn("route-withdrawn", "10.0.0.0/8", prefix="10.0.0.0/8", reason="the cable is out")
    two = warn("route-withdrawn", "10.0.0.0/8", prefix="10.0.0.0/8", reason="no address")
    assert one == two
    assert one != warn("route-withdrawn", "10.1.0.0/16", prefix="10.1.0.0/16", reason="x")
