"""The relay's settings file."""

from pathlib import Path

import pytest

from appliance.protocol.addresses import AddrPort
from appliance.relay.errors import SettingsError
from appliance.relay.settings import (
    AdmitAnyone,
    AskCoordinator,
    AskFile,
    CertificateFiles,
    load_settings,
    parse_settings,
)

ANYONE = "\n[admission]\nanyone = true\n"
HOST = 'host = "relay.test"\n'


def test_a_host_and_an_admission_are_enough() -> None:
    settings = parse_settings(HOST + ANYONE)
    assert settings.host == "relay.test"
    assert settings.admission == AdmitAnyone()
    assert settings.listen == (AddrPort.parse("[::]:443"),)
    assert settings.listen_stun == (AddrPort.parse("[::]:3478"),)
    assert settings.listen_http == ()
    assert settings.certificate is None


def test_every_setting_is_read() -> None:
    settings = parse_settings(
        HOST
        + 'state_directory = "/s"\nlisten = ["192.0.2.1:8443"]\nlisten_stun = []\n'
        + 'listen_http = ["0.0.0.0:80"]\ncertificate = "/c"\nkey = "/k"\n'
        + '[admission]\nverify_url = "https://coordinator.test/verify"\n'
    )
    assert settings.state_directory == Path("/s")
    assert settings.listen == (AddrPort.parse("192.0.2.1:8443"),)
    assert settings.listen_stun == ()
    assert settings.certificate == CertificateFiles(Path("/c"), Path("/k"))
    assert settings.admission == AskCoordinator("https://coordinator.test/verify")


def test_nodes_can_be_listed_in_a_file() -> None:
    settings = parse_settings(HOST + '[admission]\nnodes_file = "/nodes"\n')
    assert settings.admission == AskFile(Path("/nodes"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HOST + 'lissten = ["[::]:443"]' + ANYONE, "no setting lissten; did you mean listen?"),
        (HOST + "colour = 1" + ANYONE, "no setting colour; known are host, state_directory"),
        (HOST + '[admission]\nverify_uri = ""', "did you mean admission.verify_url?"),
        (ANYONE, "Set host"),
        ('host = "a b"' + ANYONE, "Set host"),
        ('host = "[::1]"' + ANYONE, "Set host"),
        ("host = 3" + ANYONE, "host must be text"),
        (HOST, "who may use this relay"),
        (HOST + '[admission]\nanyone = true\nnodes_file = "/x"', "exactly one"),
        (HOST + "[admission]\nanyone = false", "only be true"),
        (HOST + '[admission]\nverify_url = "coordinator/verify"', "must be a URL"),
        (HOST + 'listen = "[::]:443"' + ANYONE, "listen must be a list"),
        (HOST + 'listen = [":443"]' + ANYONE, "listen must be a list"),
        (HOST + 'certificate = "/c"' + ANYONE, "both certificate and key"),
        ("host", "not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("?", r"\?")):
        parse_settings(text)


def test_the_message_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    with pytest.raises(SettingsError, match=f"Cannot read {path}"):
        load_settings(path)
    path.write_text("colour = 1")
    with pytest.raises(SettingsError, match=f"{path}: There is no setting colour"):
        load_settings(path)
    path.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not text"):
        load_settings(path)
