import ssl
from pathlib import Path

import pytest

from appliance.aio.tls import client_context
from tests.netns.lab.pki import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A CA as plain as owners make them: without key identifiers, which a strict check misses."""
    return Authority(tmp_path / "ca")


def shake_hands(client: ssl.SSLContext, authority: Authority, name: str) -> None:
    """Let a server with a certificate for relay.test answer a client that expects this name."""
    files = authority.issue("relay.test")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(files.certificate, files.key)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    waiting = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    while waiting:
        end = waiting.pop(0)
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            waiting.append(end)


def test_a_plain_ca_of_the_owner_is_trusted(authority: Authority) -> None:
    shake_hands(client_context(authority.file), authority, "relay.test")


def test_the_systems_trust_counts_without_a_file(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    shake_hands(client_context(), authority, "relay.test")


def test_another_name_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake_hands(client_context(authority.file), authority, "other.test")


def test_another_ca_is_refused(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client_context(stranger.file), authority, "relay.test")


def test_a_file_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        client_context(tmp_path / "missing.pem")
