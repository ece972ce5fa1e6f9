"""Name, SSH and Wi-Fi, in a folder instead of a machine."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from appliance.firstboot.config import Wifi
from appliance.firstboot.system import (
    Paths,
    keep_names,
    render_connection,
    set_hostname,
    set_ssh_keys,
    set_wifi,
)


def box(tmp_path: Path) -> Paths:
    for folder in ("etc/NetworkManager/system-connections", "etc/modprobe.d", "kept"):
        (tmp_path / folder).mkdir(parents=True)
    return Paths(tmp_path, tmp_path / "kept")


def test_a_name_is_in_both_files(tmp_path: Path) -> None:
    paths = box(tmp_path)
    (tmp_path / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 latchkey\n")
    set_hostname("gatekeeper", paths)
    assert (tmp_path / "etc/hostname").read_text() == "gatekeeper\n"
    assert (tmp_path / "etc/hosts").read_text() == "127.0.0.1 localhost\n127.0.1.1 gatekeeper\n"


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_ssh_keys_come_with_a_host_key_that_stays_and_go_without_it(tmp_path: Path) -> None:
    paths = box(tmp_path)
    set_ssh_keys(("ssh-ed25519 AAAA me",), paths)
    made = (paths.ssh / "ssh_host_ed25519_key").read_bytes()
    assert (paths.ssh / "authorized_keys").read_text() == "ssh-ed25519 AAAA me\n"
    set_ssh_keys(("ssh-ed25519 BBBB me",), paths)
    assert (paths.ssh / "ssh_host_ed25519_key").read_bytes() == made
    set_ssh_keys((), paths)
    assert not (paths.ssh / "authorized_keys").exists()


def test_a_wifi_password_is_for_root_alone(tmp_path: Path) -> None:
    paths = box(tmp_path)
    set_wifi(Wifi("DE", "Home", "twelve chars"), paths)
    assert stat.S_IMODE(paths.connection.stat().st_mode) == 0o600
    assert "psk=twelve chars\n" in paths.connection.read_text()
    assert "regdom=DE" in paths.country.read_text()


def test_a_network_name_of_any_bytes_fits_a_keyfile() -> None:
    text = render_connection(Wifi("DE", "a;b=ü", " \\psk12345"))
    assert "ssid=97;59;98;61;195;188;\n" in text
    assert "psk=\\s\\\\psk12345\n" in text


def test_an_open_network_has_no_security_section() -> None:
    assert "wifi-security" not in render_connection(Wifi("DE", "Cafe"))


def test_names_are_handed_to_the_next_system(tmp_path: Path) -> None:
    paths = box(tmp_path)
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/hostname").write_text("gatekeeper\n")
    keep_names(paths)
    assert (paths.kept / "machine-id").read_text().startswith("0123")
    assert (paths.kept / "hostname").read_text() == "gatekeeper\n"


def test_a_machine_that_is_no_card_of_ours_has_nothing_to_hand_on(tmp_path: Path) -> None:
    keep_names(Paths(tmp_path, tmp_path / "absent"))
    assert not (tmp_path / "absent").exists()
