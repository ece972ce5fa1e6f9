"""Reaching the coordinator: its key, the upgrade to Noise, and HTTP/2 inside.

GET {url}/key?v=N answers ``{"publicKey": "mkey:…"}``; POST /ts2021, on the same connection when
the server leaves it open, becomes the Noise channel.

Source: tailscale control/controlhttp/client.go and control/controlclient/direct.go, 2026-08. We
check certificates on both requests and do not try port 80 for an https URL.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from appliance.aio.connect import Connect, connect_plain, connect_tcp
from appliance.aio.errors import HttpProtocolError, StreamError
from appliance.aio.http1 import Http1Client, Http1Limits, HttpRequest, HttpResponse
from appliance.aio.http2 import Http2Client, open_http2
from appliance.aio.noise_stream import NoiseStream, finish_handshake, start_handshake
from appliance.aio.stream import TcpStream
from appliance.aio.tls import client_context
from appliance.controlclient.clocks import ClockReading, since_boot
from appliance.controlclient.config import ControlConfig
from appliance.controlclient.errors import (
    CertificateError,
    ClockWrongError,
    ControlError,
    NotACoordinatorError,
    ProtocolBrokenError,
    UnreachableError,
)
from appliance.exit_status import ExitStatus
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePublic
from appliance.protocol.tailcfg import CAPABILITY_VERSION, decode
from appliance.protocol.tailcfg.codec import Message
from appliance.protocol.ts2021 import HANDSHAKE_HEADER, UPGRADE
from appliance.protocol.ts2021 import PATH as UPGRADE_PATH

# As the reference: name, connection, TLS, key and handshake together.
DIAL_TIMEOUT_S: Final = 10.0
# Certificates live for months; a clock that is off by less than this does no harm.
MAX_CLOCK_OFFSET: Final = timedelta(days=1)
_LIMITS: Final = Http1Limits(body_bytes=64 * 1024)
# OpenSSL's names for them: X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S %z"


class _ServerKeys(Message, frozen=True, kw_only=True, rename="camel"):
    public_key: MachinePublic


class Dialer:
    """Makes connections to one coordinator, and remembers its key."""

    def __init__(
        self,
        config: ControlConfig,
        connect: Connect = connect_plain,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._url = config.url
        self._config = config
        self._connect = connect
        self._wall_clock = wall_clock
        self._tls: ssl.SSLContext | None = None
        self._server_key: MachinePublic | None = None
        self._reading: ClockReading | None = None

    @property
    def clock_offset(self) -> timedelta:
        """How far the coordinator's clock is ahead of ours now, by what it last said."""
        if self._reading is None:
            return timedelta(0)
        return self._reading.offset(self._wall_clock(), since_boot())

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Http2Client]:
        """Connect, and close at the end of the block; a failure to is a ``ControlError``."""
        noise = await self._dial()
        try:
            async with open_http2(noise, self._url.authority) as client:
                yield client
        finally:
            await noise.close()

    async def _dial(self) -> NoiseStream:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                return await self._dial_noise()
        except TimeoutError:
            raise UnreachableError(
                f"The coordinator at {self._url} did not answer within {DIAL_TIMEOUT_S:.0f} s. "
                "Check its address, and that no firewall is in between."
            ) from None
        except HttpProtocolError as error:
            raise self._not_a_coordinator(
                f"it does not speak HTTP as it should ({error})"
            ) from None
        except StreamError as error:
            raise UnreachableError(
                f"The coordinator at {self._url} closed the connection ({error}). Trying again."
            ) from None
        except ProtocolError as error:
            self._server_key = None  # it may have a new one
            raise ProtocolBrokenError(
                f"The Noise handshake with {self._url} failed: {error}."
            ) from None

    async def _dial_noise(self) -> NoiseStream:
        stream = await self._open_stream(self._tls_context())
        try:
            http = Http1Client(stream, _LIMITS)
            if self._server_key is None:
                self._server_key = self._read_key(await http.request(self._key_request()))
            if not http.reusable:
                await stream.close()
                stream = await self._open_stream(self._tls_context())
                http = Http1Client(stream, _LIMITS)
            return await self._upgrade(stream, http, self._server_key)
        except BaseException:
            await stream.close()
            raise

    async def _upgrade(
        self, stream: TcpStream, http: Http1Client, server_key: MachinePublic
    ) -> NoiseStream:
        handshake = start_handshake(self._config.machine_key, server_key, CAPABILITY_VERSION)
        headers = (
            ("Host", self._url.authority),
            ("Upgrade", UPGRADE),
            ("Connection", "upgrade"),
            (HANDSHAKE_HEADER, handshake.header_value),
        )
        response, leftover = await http.upgrade(HttpRequest("POST", UPGRADE_PATH, headers))
        if response.status != 101:
            self._server_key = None
            reason = response.body[:200].decode("utf-8", "replace").strip()
            raise self._not_a_coordinator(
                f"it answers {response.status} to {UPGRADE_PATH}: {printable(reason)}"
            )
        return await finish_handshake(stream, leftover, handshake)

    def _key_request(self) -> HttpRequest:
        target = f"{self._url.prefix}/key?v={CAPABILITY_VERSION}"
        return HttpRequest("GET", target, (("Host", self._url.authority),))

    def _read_key(self, response: HttpResponse) -> MachinePublic:
        self._compare_clocks(response)
        location = response.header("Location")
        if location and 300 <= response.status < 400:
            raise self._not_a_coordinator(f"it sends us on to {printable(location)}")
        if response.status != 200:
            raise self._not_a_coordinator(f"it answers {response.status} to /key")
        try:
            key = decode(_ServerKeys, response.body).public_key
        except ProtocolError:
            raise self._not_a_coordinator("its /key is no key") from None
        if key.is_zero:
            raise self._not_a_coordinator("it has no Noise key")
        return key

    async def _open_stream(self, tls: ssl.SSLContext | None) -> TcpStream:
        host, url = self._url.host, self._url
        try:
            sock = await connect_tcp(host, url.port, self._connect)
            name = host if tls else None
            return TcpStream(
                *await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
            )
        except socket.gaierror:
            raise UnreachableError(
                f"The coordinator's name {host} is not known. Check the name and this machine's "
                "DNS."
            ) from None
        except ssl.SSLCertVerificationError as error:
            raise await self._certificate_error(error) from None
        except ssl.SSLError as error:
            raise self._not_a_coordinator(f"it does not speak TLS ({error.reason})") from None
        except OSError as error:
            raise UnreachableError(
                f"The coordinator at {url} cannot be reached: {error.strerror or error}. Check "
                "its address, and that it is running."
            ) from None

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._url.is_tls and self._tls is None:
            file = self._config.ca_file
            try:
                self._tls = client_context(file)
            except OSError as error:
                raise CertificateError(
                    f"The CA file {file} cannot be used: {error.strerror or error}.",
                    ExitStatus.CERTIFICATE_UNREADABLE,
                ) from None
        return self._tls

    async def _certificate_error(self, error: ssl.SSLCertVerificationError) -> ControlError:
        """Tell a wrong clock from a wrong certificate by asking the server for the time."""
        if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
            with suppress(ControlError, StreamError):
                stream = await self._open_stream(_unverified_context())
                try:
                    http = Http1Client(stream, _LIMITS)
                    self._compare_clocks(await http.request(self._key_request()))
                finally:
                    await stream.close()
        if abs(self.clock_offset) > MAX_CLOCK_OFFSET:
            ours = self._wall_clock()
            return ClockWrongError(
                f"This machine's clock says {ours:%d %B %Y}, but the coordinator's says "
                f"{ours + self.clock_offset:%d %B %Y}, so its certificate cannot be checked. Set "
                "the clock (timedatectl set-ntp true) and try again."
            )
        return CertificateError(
            f"The certificate of {self._url} is not trusted: {error.verify_message}. Check the "
            "name, or give the coordinator's CA certificate."
        )

    def _compare_clocks(self, response: HttpResponse) -> None:
        with suppress(ValueError):
            text = (response.header("Date") or "").replace("GMT", "+0000")
            self._reading = ClockReading(
                datetime.strptime(text, _HTTP_DATE).astimezone(UTC), since_boot()
            )

    def _not_a_coordinator(self, finding: str) -> NotACoordinatorError:
        return NotACoordinatorError(
            f"What answers at {self._url} is no coordinator: {finding}. Check the address."
        )


def printable(text: str) -> str:
    """Cut what a stranger says for a message or a log."""
    return "".join(char if char.isprintable() else " " for char in text)[:200]


def _unverified_context() -> ssl.SSLContext:
    """Make a context for a question whose answer is only a hint: the server's time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
