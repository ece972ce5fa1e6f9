from __future__ import annotations

from pathlib import Path

import pytest

from appliance.gateway.knobs import Knobs, feature
from appliance.host.errors import HostError


def test_a_kernel_setting_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "answer").write_text("41\n")
    knobs = Knobs(tmp_path)
    assert knobs.read("net.answer") == "41"
    knobs.write("net.answer", "42")
    assert knobs.read("net.answer") == "42"
    assert knobs.read("net.question") is None


def test_a_feature_of_an_interface_that_is_gone_is_none_and_cannot_be_set() -> None:
    name = feature("lk-nowhere", "rx-gro-list")
    assert Knobs().read(name) is None
    with pytest.raises(HostError, match="lk-nowhere refused to change rx-gro-list"):
        Knobs().write(name, "off")
