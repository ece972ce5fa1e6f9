import asyncio
import logging
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.aio.connect import Address, connect_plain
from appliance.aio.messages import HttpResponse, json_response
from appliance.aio.stream import TcpStream
from appliance.controlclient.config import ControlConfig, ControlUrl
from appliance.controlclient.dial import Dialer
from appliance.controlclient.errors import (
    CertificateError,
    ClockWrongError,
    NotACoordinatorError,
    ProtocolBrokenError,
    UnreachableError,
)
from appliance.exit_status import ExitStatus
from appliance.protocol.keys import ChallengePublic, MachinePrivate
from tests.support.control import KEY, FakeCoordinator, listening

MACHINE = MachinePrivate.from_seed(b"machine key for tests only......")
NOW = datetime.now(UTC)


def dialer(port: int, scheme: str = "http", host: str = "127.0.0.1", **options) -> Dialer:
    url = ControlUrl.parse(f"{scheme}://{host}:{port}")
    return Dialer(ControlConfig(url, MACHINE, options.pop("ca_file", None)), **options)


async def fetch(opened: Dialer) -> HttpResponse:
    async with opened.open() as client:
        return await client.request("GET", "/anything")


class Certificates:
    """A lab CA and server certificates of any age and name.

    As plain as owners make them: without key identifiers, which a strict check would miss.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab CA")])
        certificate = self._build(self.ca_name, self.ca_key, NOW - timedelta(9000), None)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, name: str = "localhost", since: datetime = NOW) -> ssl.SSLContext:
        """A server's context with a certificate valid for 90 days."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(subject, key, since - timedelta(hours=1), name)
        file = self.folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def renewed(self) -> Path:
        """The file of a certificate that is valid now."""
        self.context()
        return self.folder / "server.pem"

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        since: datetime,
        name: str | None,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(since + timedelta(90 if name else 20000))
            .add_extension(x509.BasicConstraints(ca=not name, path_length=None), critical=True)
        )
        if name:
            names = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.ca_key, hashes.SHA256())


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


async def test_key_upgrade_and_request_share_one_connection() -> None:
    coordinator = FakeCoordinator(challenge=ChallengePublic(bytes(32)))
    connections = []

    async def connect(address: Address) -> socket.socket:
        connections.append(address)
        return await connect_plain(address)

    async with listening(coordinator.serve) as port:
        assert (await fetch(dialer(port, connect=connect))).status == 200
    assert connections == [("127.0.0.1", port)]
    assert coordinator.paths == ["GET /key?v=131", "POST /ts2021", "GET /anything"]
    assert coordinator.machine == MACHINE.public()


async def test_the_key_is_fetched_once() -> None:
    coordinator = FakeCoordinator()
    async with listening(coordinator.serve) as port:
        opened = dialer(port)
        await fetch(opened)
        await fetch(opened)
    assert coordinator.paths.count("GET /key?v=131") == 1


async def test_a_server_that_closes_after_the_key_is_connected_again() -> None:
    key = json_response(200, f'{{"publicKey":"{KEY.public().text()}"}}'.encode())
    closing = HttpResponse(200, (*key.headers, ("Connection", "close")), key.body)
    coordinator = FakeCoordinator(key_answer=closing)
    async with listening(coordinator.serve) as port:
        assert (await fetch(dialer(port))).status == 200


async def test_a_url_prefix_counts_for_the_key_only() -> None:
    coordinator = FakeCoordinator()
    async with listening(coordinator.serve) as port:
        url = ControlUrl.parse(f"http://127.0.0.1:{port}/mesh")
        await fetch(Dialer(ControlConfig(url, MACHINE)))
    assert coordinator.paths[:2] == ["GET /mesh/key?v=131", "POST /ts2021"]


async def test_tls_is_checked_with_the_given_ca(certificates: Certificates) -> None:
    coordinator = FakeCoordinator()
    async with listening(coordinator.serve, certificates.context()) as port:
        opened = dialer(port, "https", "localhost", ca_file=certificates.ca_file)
        assert (await fetch(opened)).status == 200


async def test_ssl_cert_file_names_the_ca_as_everywhere(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    async with listening(FakeCoordinator().serve, certificates.context()) as port:
        assert (await fetch(dialer(port, "https", "localhost"))).status == 200


async def test_a_certificate_of_an_unknown_ca_is_refused(certificates: Certificates) -> None:
    async with listening(FakeCoordinator().serve, certificates.context()) as port:
        with pytest.raises(CertificateError, match="not trusted") as refusal:
            await fetch(dialer(port, "https", "localhost"))
    assert refusal.value.status is ExitStatus.CERTIFICATE_WRONG


async def test_a_certificate_for_another_name_is_refused(certificates: Certificates) -> None:
    async with listening(FakeCoordinator().serve, certificates.context("other.test")) as port:
        with pytest.raises(CertificateError, match="not trusted"):
            await fetch(dialer(port, "https", "localhost", ca_file=certificates.ca_file))


@pytest.mark.parametrize("years", [-1, 1])
async def test_a_clock_wrong_by_a_year_is_told_from_a_wrong_certificate(
    certificates: Certificates, years: int
) -> None:
    # To us the coordinator lives in another year: so do its certificate and its clock.
    there = NOW + timedelta(365 * years)
    coordinator = FakeCoordinator(date=there)
    async with listening(coordinator.serve, certificates.context(since=there)) as port:
        with pytest.raises(ClockWrongError, match="This machine's clock says") as refusal:
            await fetch(dialer(port, "https", "localhost", ca_file=certificates.ca_file))
    assert refusal.value.status is ExitStatus.CLOCK_WRONG
    assert f"{there:%Y}" in str(refusal.value)


async def test_a_clock_set_right_lets_the_same_dialer_in(certificates: Certificates) -> None:
    clock = [NOW - timedelta(365)]
    coordinator = FakeCoordinator(date=NOW)
    context = certificates.context(since=NOW + timedelta(365))
    async with listening(coordinator.serve, context) as port:
        opened = dialer(
            port, "https", "localhost", ca_file=certificates.ca_file, wall_clock=lambda: clock[0]
        )
        with pytest.raises(ClockWrongError):
            await fetch(opened)
        # The machine's clock is a test's to tell but not to set: the certificate comes to it.
        context.load_cert_chain(certificates.renewed())
        clock[0] = NOW
        assert (await fetch(opened)).status == 200
    assert abs(opened.clock_offset) < timedelta(minutes=5)


async def test_a_certificate_that_has_expired_with_our_clock_right_is_a_wrong_certificate(
    certificates: Certificates,
) -> None:
    context = certificates.context(since=NOW - timedelta(365))
    async with listening(FakeCoordinator().serve, context) as port:
        with pytest.raises(CertificateError, match="expired"):
            await fetch(dialer(port, "https", "localhost", ca_file=certificates.ca_file))


async def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    with pytest.raises(CertificateError, match="CA file") as refusal:
        await fetch(dialer(1, "https", ca_file=missing))
    assert refusal.value.status is ExitStatus.CERTIFICATE_UNREADABLE


async def test_the_difference_of_the_clocks_is_known_without_tls_too() -> None:
    coordinator = FakeCoordinator(date=NOW - timedelta(400))
    async with listening(coordinator.serve) as port:
        opened = dialer(port)
        await fetch(opened)
    assert -402 < opened.clock_offset.days < -398


async def test_nobody_listening_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError, match="cannot be reached") as refusal:
        await fetch(dialer(port))
    assert refusal.value.status is ExitStatus.COORDINATOR_UNREACHABLE


async def test_an_unknown_name_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(UnreachableError, match=r"name control\.test is not known"):
        await fetch(dialer(80, host="control.test"))


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.controlclient.dial.DIAL_TIMEOUT_S", 0.05)

    async def silent(stream: TcpStream) -> None:
        while await stream.read(10_000):
            pass

    async with listening(silent) as port:
        with pytest.raises(UnreachableError, match="did not answer"):
            await fetch(dialer(port))


async def test_a_server_that_hangs_up_is_unreachable() -> None:
    async def hang_up(stream: TcpStream) -> None:
        await stream.read(1)

    async with listening(hang_up) as port:
        with pytest.raises(UnreachableError):
            await fetch(dialer(port))


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (HttpResponse(404), "answers 404 to /key"),
        (HttpResponse(302, (("Location", "https://elsewhere.test/"),)), "elsewhere"),
        (HttpResponse(200, (), b"<html>It works!</html>"), "is no key"),
        (HttpResponse(200, (), b'{"publicKey":"nodekey:00"}'), "is no key"),
        (json_response(200, f'{{"publicKey":"mkey:{"0" * 64}"}}'.encode()), "no Noise key"),
    ],
)
async def test_a_web_server_is_not_taken_for_a_coordinator(
    answer: HttpResponse, finding: str
) -> None:
    async with listening(FakeCoordinator(key_answer=answer).serve) as port:
        with pytest.raises(NotACoordinatorError, match=finding) as refusal:
            await fetch(dialer(port))
    assert refusal.value.status is ExitStatus.NOT_A_COORDINATOR


async def test_a_server_that_speaks_no_http_is_not_taken_for_a_coordinator() -> None:
    async def ssh(stream: TcpStream) -> None:
        await stream.write(b"SSH-2.0-OpenSSH_9.9\r\n")
        await stream.read(10_000)

    async with listening(ssh) as port:
        with pytest.raises(NotACoordinatorError):
            await fetch(dialer(port))


async def test_https_to_a_plain_server_is_not_taken_for_a_coordinator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(FakeCoordinator().serve) as port:
        with pytest.raises(NotACoordinatorError, match="does not speak TLS"):
            await fetch(dialer(port, "https", "localhost"))


async def test_a_coordinator_without_the_key_it_showed_is_a_broken_protocol() -> None:
    other = MachinePrivate.from_seed(bytes(32)).public()
    answer = json_response(200, f'{{"publicKey":"{other.text()}"}}'.encode())
    async with listening(FakeCoordinator(key_answer=answer).serve) as port:
        with pytest.raises((ProtocolBrokenError, NotACoordinatorError)):
            await fetch(dialer(port))


async def test_after_a_failed_handshake_the_key_is_fetched_again() -> None:
    coordinator = FakeCoordinator()
    other = MachinePrivate.from_seed(bytes(32)).public()
    wrong = json_response(200, f'{{"publicKey":"{other.text()}"}}'.encode())
    async with listening(coordinator.serve) as port:
        opened = dialer(port)
        coordinator.key_answer = wrong
        with pytest.raises((ProtocolBrokenError, NotACoordinatorError)):
            await fetch(opened)
        coordinator.key_answer = None
        assert (await fetch(opened)).status == 200


async def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with listening(FakeCoordinator().serve) as port:
            await fetch(dialer(port))
    assert len(asyncio.all_tasks()) == 1
    assert not caplog.records
