from ipaddress import ip_address

import pytest

from webui.hosts import KEPT_S, Known, OwnNames, name_of, observe_known, with_default_port

KNOWN = Known("latchkey", tuple(map(ip_address, ("127.0.0.1", "192.168.1.5", "fd00::5"))))


@pytest.mark.parametrize(
    "host",
    [
        "192.168.1.5",
        "192.168.1.5:8080",
        "127.0.0.1",
        "[fd00::5]",
        "[fd00:0:0::5]:80",
        "localhost",
        "localhost:5000",
        "latchkey",
        "LATCHKEY.local",
        "latchkey.local.",
        "latchkey-2.local",
        "box.example.org",
        "home.mesh.internal",
        "home",
    ],
)
def test_the_box_is_known_by(host: str) -> None:
    assert names().allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "192.168.1.6",
        "latchkey.evil.example",
        "evil-latchkey.local",
        "latchkey-evil.local",
        "latchkey-2.local.evil.example",
        "192.168.1.5.evil.example",
        "[fd00::6]",
        "fd00::5",
        "localhost@evil.example",
        "localhost:80:80",
        "localhost:x",
        "a b",
        "localhost/",
        "box.example.org.evil",
        "\x00",
        "x" * 1000,
    ],
)
def test_the_box_is_not_known_by(host: str) -> None:
    assert not names().allows(host)


def test_a_new_address_is_known_after_some_seconds() -> None:
    now, known = [0.0], [KNOWN]
    own = OwnNames(observe=lambda: known[0], now=lambda: now[0])
    assert not own.allows("192.168.1.6")
    known[0] = Known("latchkey", (ip_address("192.168.1.6"),))
    now[0] = KEPT_S
    assert own.allows("192.168.1.6")
    assert not own.allows("192.168.1.5")


def test_the_mesh_is_not_asked_for_every_stranger() -> None:
    asked = []
    own = OwnNames(observe=lambda: KNOWN, mesh_name=lambda: asked.append(1) or "", now=lambda: 0.0)
    for _ in range(9):
        own.allows("evil.example")
    assert len(asked) == 1


def test_addresses_are_offered_with_the_name_first() -> None:
    known = Known(
        "box", tuple(map(ip_address, ("127.0.0.1", "100.64.0.1", "10.0.0.2", "169.254.1.1")))
    )
    own = OwnNames(observe=lambda: known)
    assert own.addresses("80") == ("http://box.local", "http://10.0.0.2")
    assert own.addresses("8080") == ("http://box.local:8080", "http://10.0.0.2:8080")


def test_two_spellings_of_a_place_are_equal() -> None:
    assert with_default_port("Box", "http") == with_default_port("box:80", "http")
    assert with_default_port("[fd00::5]", "https") == "[fd00::5]:443"
    assert with_default_port("box", "http") != with_default_port("box:8080", "http")


def test_a_name_is_read_from_a_host() -> None:
    assert name_of("BOX.local.:80") == "box.local"
    assert name_of("[fd00::5]:80") == "fd00::5"
    assert name_of("a b") is None


@pytest.mark.parametrize("host", ["x" * 64, "x" * 300, "a..b", ".", "ä.example"])
def test_what_can_be_no_name_is_none(host: str) -> None:
    assert name_of(host) is None


def test_this_machine_has_an_address() -> None:
    assert ip_address("127.0.0.1") in observe_known().addresses


def names() -> OwnNames:
    return OwnNames(("box.example.org",), lambda: KNOWN, lambda: "home.mesh.internal.", lambda: 0.0)
