"""The relay's TLS certificate: given, or made once and known to nodes by its hash.

Behind the real chain one more certificate is served, which tells a node the relay's DERP key
within TLS 1.3 and so saves it a round trip: self-signed Ed25519, common name ``derpkey`` and the
key's hex digits, serial number = protocol version. Programs that verify the chain ignore it.

Source: tailscale derp/derpserver/derpserver.go (initMetacert), net/tlsdial/tlsdial.go, 2026-08.
"""

import datetime
import hashlib
import ipaddress
import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from appliance.host.files import read_bounded, write_atomic
from appliance.protocol.derp.frames import PROTOCOL_VERSION
from appliance.protocol.derp.upgrade import META_CERTIFICATE_PREFIX
from appliance.protocol.keys import NodePublic
from appliance.relay.errors import CertificateError
from appliance.relay.settings import CertificateFiles

# A pinned certificate is trusted by its hash; the dates only must hold on every clock.
_NOT_BEFORE: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER: Final = datetime.datetime(2049, 12, 31, tzinfo=datetime.UTC)

META_LIFE: Final = datetime.timedelta(days=30)
MAX_PEM: Final = 256 * 1024
_PEM_END: Final = b"-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """The files to serve, and the pin for the DERP map when nobody signed the certificate."""

    chain: Path
    key: Path
    pin: str | None


def prepare_certificate(
    files: CertificateFiles | None,
    host: str,
    relay: NodePublic,
    state_directory: Path,
    now: datetime.datetime,
) -> ServedCertificate:
    """Write the chain to serve into the state directory, making a certificate if none is given."""
    own = files or _self_signed_files(host, state_directory)
    chain = _read(own.certificate)
    if _PEM_END not in chain:
        raise CertificateError(f"{own.certificate} holds no PEM certificate.")
    served = state_directory / "served-chain.pem"
    write_atomic(served, chain.rstrip() + b"\n" + meta_certificate(relay, now))
    return ServedCertificate(served, own.key, None if files else certificate_pin(chain))


def certificate_pin(pem: bytes) -> str:
    """Return the ``CertName`` by which the DERP map pins this certificate."""
    leaf = pem[: pem.index(_PEM_END) + len(_PEM_END)].decode("ascii", "replace")
    return (
        "sha256-raw:"
        + hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf[leaf.index("-----BEGIN") :])).hexdigest()
    )


def make_tls_context(certificate: ServedCertificate) -> ssl.SSLContext:
    """Make the listener's TLS: 1.2 or newer, the cipher that the node prefers.

    The node's preference, because it knows whether it has AES in hardware; OpenSSL's own order
    begins with AES-256, which costs a fifth more than the AES-128 that nodes ask for first.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    load_certificate(context, certificate)
    return context


def load_certificate(context: ssl.SSLContext, certificate: ServedCertificate) -> None:
    """Serve this certificate to new connections; on an error the context stays as it was."""
    try:
        # First elsewhere: a key that does not fit leaves a context without any.
        for target in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), context):
            target.load_cert_chain(certificate.chain, certificate.key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CertificateError(
            f"The certificate cannot be used with its key {certificate.key} ({error});"
            " check that both belong together and can be read."
        ) from None


def meta_certificate(relay: NodePublic, now: datetime.datetime) -> bytes:
    """Make the certificate that tells the relay's key, as PEM."""
    name = _long_name(META_CERTIFICATE_PREFIX + relay.raw.hex())
    key = ed25519.Ed25519PrivateKey.generate()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(PROTOCOL_VERSION)
        .not_valid_before(now - META_LIFE)
        .not_valid_after(now + META_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )
    return certificate.public_bytes(serialization.Encoding.PEM)


def self_signed(host: str) -> tuple[bytes, bytes]:
    """Make a certificate for a name or address, and its key, both as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def _long_name(text: str) -> x509.Name:
    """Make a name of 71 characters: above the limit of X.509, so the check must be off."""
    with warnings.catch_warnings(action="ignore"):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _self_signed_files(host: str, state_directory: Path) -> CertificateFiles:
    """Return the kept certificate, made at the first start and again when the host changes."""
    files = CertificateFiles(
        state_directory / "self-signed.pem", state_directory / "self-signed.key"
    )
    kept = read_bounded(files.certificate, MAX_PEM)
    if kept is None or not files.key.exists() or not _is_for(kept, host):
        certificate, key = self_signed(host)
        write_atomic(files.key, key)
        write_atomic(files.certificate, certificate)
    return files


def _is_for(pem: bytes, host: str) -> bool:
    try:
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound):
        return False
    return _general_name(host) in list(names.value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()[:MAX_PEM]
    except OSError as error:
        raise CertificateError(
            f"The certificate {path} cannot be read: {error.strerror}."
        ) from None
