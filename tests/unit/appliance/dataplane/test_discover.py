from __future__ import annotations

from pathlib import Path

import pytest

from appliance.dataplane.discover import examine, find_wireguard_go
from appliance.dataplane.errors import NoWireGuardError


def program(directory: Path, version: str, *, fast: bool = False, status: int = 0) -> Path:
    """A stand-in that answers to --version as wireguard-go does."""
    directory.mkdir(exist_ok=True)
    path = directory / "wireguard-go"
    marker = "# tun.virtioNetHdr\n" if fast else ""
    path.write_text(f"#!/bin/sh\n{marker}echo 'wireguard-go {version}'\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_a_fast_program_wins_over_a_newer_slow_one(tmp_path: Path) -> None:
    program(tmp_path / "a", "v0.0.20991231")
    program(tmp_path / "b", "v0.0.20230223", fast=True)
    found = find_wireguard_go(None, [tmp_path / "a", tmp_path / "b"])
    assert found.path == tmp_path / "b" / "wireguard-go"
    assert found.advice is None
    assert str(found) == f"wireguard-go 0.0.20230223 ({found.path})"


def test_of_two_alike_the_newest_wins(tmp_path: Path) -> None:
    program(tmp_path / "a", "v0.0.20230223", fast=True)
    program(tmp_path / "b", "0.0.20250522", fast=True)
    assert find_wireguard_go(None, [tmp_path / "a", tmp_path / "b"]).version == "0.0.20250522"


def test_a_slow_program_says_what_to_do_about_it(tmp_path: Path) -> None:
    program(tmp_path, "v0.0.20220316")
    found = find_wireguard_go(None, [tmp_path])
    assert not found.is_fast
    assert "slow" in str(found)
    assert "install wireguard-go of Debian 13" in str(found.advice)


def test_the_owners_choice_wins(tmp_path: Path) -> None:
    chosen = program(tmp_path / "a", "v0.0.20220316")
    program(tmp_path / "b", "v0.0.20230223", fast=True)
    assert find_wireguard_go(chosen, [tmp_path / "b"]).path == chosen


def test_a_choice_that_is_no_wireguard_go_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    with pytest.raises(NoWireGuardError, match="correct the path in the settings"):
        find_wireguard_go(other, [])


def test_without_any_program_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoWireGuardError, match="install the package wireguard-go"):
        find_wireguard_go(None, [tmp_path, tmp_path / "missing"])


def test_a_file_that_cannot_run_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "wireguard-go"
    path.write_bytes(b"\x7fELF of another machine")
    assert examine(path) is None
    path.chmod(0o755)
    assert examine(path) is None
    assert examine(tmp_path) is None
