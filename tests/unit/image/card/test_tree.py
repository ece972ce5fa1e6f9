"""What the system is made from, and sentences for why it could not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.card.archive import Archives
from image.card.host import parse_depends
from image.card.native import Native
from image.card.profiles import Profile, load
from image.card.tree import Bootstrap, box_sources, explain, mmdebstrap_command, sources

ARCHIVES = Archives("http://mirror.example/debian", "http://sec.example/security")


def bootstrap(profile: Profile, key: Path | None = None) -> Bootstrap:
    return Bootstrap(
        archives=ARCHIVES,
        profile=profile,
        profile_key=key,
        package=None,
        depends=("python3-h2",),
        epoch=0,
        cache=Path("/cache"),
        work=Path("/work"),
        native=Native("python3", None),
    )


def test_debian_alone_has_three_suites_and_no_other_archive() -> None:
    assert sources(bootstrap(load("debian"))) == [
        "deb http://mirror.example/debian trixie main non-free-firmware",
        "deb http://mirror.example/debian trixie-updates main non-free-firmware",
        "deb http://sec.example/security trixie-security main non-free-firmware",
    ]


def test_raspios_adds_its_archive_signed_by_its_own_key() -> None:
    lines = sources(bootstrap(load("raspios"), Path("/keys/pi.gpg")))
    assert len(lines) == 4
    assert lines[3].startswith("deb [signed-by=/keys/pi.gpg] https://")
    assert lines[3].endswith("/debian trixie main")


def test_the_box_trusts_each_key_for_its_own_archive_only() -> None:
    text = box_sources(ARCHIVES, load("raspios"), "/etc/apt/keyrings/pi.gpg")
    blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in text.split("\n\n")]
    assert [block["Suites"] for block in blocks] == [
        "trixie trixie-updates",
        "trixie-security",
        "trixie",
    ]
    assert blocks[2]["Signed-By"] == "/etc/apt/keyrings/pi.gpg"
    assert blocks[0]["Signed-By"] == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert "archive.raspberrypi" not in box_sources(ARCHIVES, load("debian"), "")


def test_both_profiles_have_a_kernel_firmware_and_radio() -> None:
    for name, kernel in (("debian", "linux-image-arm64"), ("raspios", "linux-image-rpi-v8")):
        packages = load(name).packages
        assert kernel in packages
        assert {"raspi-firmware", "firmware-brcm80211", "wireless-regdb"} <= set(packages)
        assert len(set(packages)) == len(packages)


def test_only_raspios_starts_on_a_pi_5() -> None:
    assert "Raspberry Pi 5" in load("raspios").boards
    assert "Raspberry Pi 5" not in load("debian").boards


def test_the_command_has_every_hook_in_order() -> None:
    command = mmdebstrap_command(bootstrap(load("debian")))
    hooks = [word for word in command if word.startswith("--customize-hook=")]
    assert hooks == sorted(hooks)
    assert command[-5:-3] == ["trixie", "-"]


def test_dependencies_are_named_without_versions_and_with_the_first_choice() -> None:
    field = "iproute2, python3:any, python3-pyroute2 (>= 0.7.7), python3-pyroute2 (<< 0.8~), a | b"
    assert parse_depends(field) == ("iproute2", "python3", "python3-pyroute2", "a")


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("tar: cannot write: No space left on device", "The disk is full"),
        ("W: GPG error: http://m trixie: NO_PUBKEY 12", "upgrade debian-archive-keyring"),
        ("E: Failed to fetch http://m/x.deb  404", "http://m/x.deb"),
        ("Temporary failure resolving 'm.example'", "m.example cannot be reached"),
        ("E: Unable to locate package linux-image-rpi-v8", "no package linux-image-rpi-v8"),
        ("x : Depends: y but it is not installable", "do not fit together"),
        ("E: something else", "E: something else"),
    ],
)
def test_a_failure_is_one_sentence(log: str, words: str) -> None:
    message = explain(log, Path("/log"))
    assert words in message
    assert "\n" not in message
