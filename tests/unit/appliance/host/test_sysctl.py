from __future__ import annotations

from pathlib import Path

import pytest

from appliance.host import sysctl
from appliance.host.errors import HostError


def test_a_setting_is_found_by_its_dotted_name(tmp_path: Path) -> None:
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("0\n")
    assert sysctl.read("net.ipv4.ip_forward", tmp_path) == "0"
    sysctl.write("net.ipv4.ip_forward", "1", tmp_path)
    assert sysctl.read("net.ipv4.ip_forward", tmp_path) == "1"


def test_slashes_allow_dots_in_an_interface_name(tmp_path: Path) -> None:
    (tmp_path / "net/ipv6/conf/eth0.5").mkdir(parents=True)
    (tmp_path / "net/ipv6/conf/eth0.5/accept_ra").write_text("1\n")
    assert sysctl.read("net/ipv6/conf/eth0.5/accept_ra", tmp_path) == "1"


def test_an_unknown_setting_is_none_to_read_and_an_error_to_write(tmp_path: Path) -> None:
    assert sysctl.read("net.no.such", tmp_path) is None
    with pytest.raises(HostError, match=r"net\.no\.such cannot be set to 1.*as root"):
        sysctl.write("net.no.such", "1", tmp_path)


def test_the_real_ones_are_there() -> None:
    assert sysctl.read("net.ipv4.ip_forward") in ("0", "1")
