"""The relay's certificate, its pin, and the one that tells the relay's key."""

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from appliance.protocol.derp.upgrade import relay_key_from_certificate
from appliance.relay import certificates
from appliance.relay.errors import CertificateError
from appliance.relay.settings import CertificateFiles
from tests.support.derp import RELAY

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)


def prepare(directory: Path, host: str = "192.0.2.1", files: CertificateFiles | None = None):
    return certificates.prepare_certificate(files, host, RELAY.public(), directory, NOW)


def test_a_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    first, second = prepare(tmp_path), prepare(tmp_path)
    assert first.pin == second.pin
    assert first.key.stat().st_mode & 0o777 == 0o600


def test_another_host_needs_another_certificate(tmp_path: Path) -> None:
    assert prepare(tmp_path).pin != prepare(tmp_path, "relay.test").pin


def test_the_pin_is_the_hash_of_the_certificate(tmp_path: Path) -> None:
    served = prepare(tmp_path)
    leaf = x509.load_pem_x509_certificates(served.chain.read_bytes())[0]
    from cryptography.hazmat.primitives import hashes

    assert served.pin == "sha256-raw:" + leaf.fingerprint(hashes.SHA256()).hex()


@pytest.mark.filterwarnings("ignore:Attribute's length")
def test_the_chain_ends_in_the_certificate_that_tells_the_key(tmp_path: Path) -> None:
    leaf, meta = x509.load_pem_x509_certificates(prepare(tmp_path).chain.read_bytes())
    name = meta.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    assert name == "derpkey" + RELAY.public().raw.hex()
    assert meta.serial_number == 2
    assert meta.not_valid_before_utc < NOW < meta.not_valid_after_utc
    from cryptography.hazmat.primitives.serialization import Encoding

    assert relay_key_from_certificate(meta.public_bytes(Encoding.DER)) == RELAY.public()
    assert relay_key_from_certificate(leaf.public_bytes(Encoding.DER)) is None


def test_a_given_certificate_is_served_and_not_pinned(tmp_path: Path) -> None:
    certificate, key = certificates.self_signed("relay.test")
    files = CertificateFiles(tmp_path / "given.pem", tmp_path / "given.key")
    files.certificate.write_bytes(certificate)
    files.key.write_bytes(key)
    served = prepare(tmp_path, files=files)
    assert served.pin is None
    assert served.chain.read_bytes().startswith(certificate)
    certificates.make_tls_context(served)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    files = CertificateFiles(tmp_path / "given.pem", tmp_path / "given.key")
    with pytest.raises(CertificateError, match=r"given\.pem cannot be read"):
        prepare(tmp_path, files=files)
    files.certificate.write_text("no certificate")
    with pytest.raises(CertificateError, match="holds no PEM certificate"):
        prepare(tmp_path, files=files)
    files.certificate.write_bytes(certificates.self_signed("a")[0])
    files.key.write_bytes(certificates.self_signed("b")[1])
    with pytest.raises(CertificateError, match="belong together"):
        certificates.make_tls_context(prepare(tmp_path, files=files))


def test_the_node_chooses_the_cipher(tmp_path: Path) -> None:
    context = certificates.make_tls_context(prepare(tmp_path))
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "relay.test", "a" * 63 + ".test"])
def test_a_certificate_can_be_made_for_any_host(host: str) -> None:
    certificates.self_signed(host)
