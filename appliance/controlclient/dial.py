"""Reaching the coordinator: its key, the upgrade to Noise, and HTTP/2 inside.

GET {url}/key?v=N answers ``{"publicKey": "mkey:…"}``; POST /ts2021, on the same connection when
the server leaves it open, becomes the Noise channel.

Source: tailscale control/controlhttp/client.go and control/controlclient/direct.go, 2026-08. We
check certificates on both requests and do not try port 80 for an https URL.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from appliance.aio.connect import Connect, connect_plain, connect_tcp
from appliance.aio.errors import HttpProtocolError, StreamClosedError, StreamError
from appliance.aio.http1 import Http1Client, Http1Limits, HttpRequest, HttpResponse
from appliance.aio.http2 import Http2Client, open_http2
from appliance.aio.messages import Headers
from appliance.aio.noise_stream import NoiseStream, finish_handshake, start_handshake
from appliance.aio.stream import Stream, TcpStream
from appliance.controlclient.config import ControlConfig, ControlUrl
from appliance.controlclient.errors import (
    CertificateError,
    ClockWrongError,
    ControlError,
    NotACoordinatorError,
    ProtocolBrokenError,
    UnreachableError,
)
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import MachinePublic
from appliance.protocol.tailcfg import CAPABILITY_VERSION, decode
from appliance.protocol.tailcfg.codec import Message
from appliance.protocol.ts2021 import HANDSHAKE_HEADER, UPGRADE
from appliance.protocol.ts2021 import PATH as UPGRADE_PATH

_log = logging.getLogger(__name__)

# As the reference: name, connection, TLS, key and handshake together.
DIAL_TIMEOUT_S: Final = 10.0
# Certificates live for months; a clock that is off by less than this does no harm.
MAX_CLOCK_OFFSET: Final = timedelta(days=1)
_LIMITS: Final = Http1Limits(body_bytes=64 * 1024)
# OpenSSL's names for them: X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"


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
        self._config = config
        self._connect = connect
        self._wall_clock = wall_clock
        self._tls: ssl.SSLContext | None = None
        self._server_key: MachinePublic | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Http2Client]:
        """Connect, and close at the end of the block; every failure is a ``ControlError``."""
        noise = await self._dial()
        try:
            async with open_http2(noise, self._config.url.authority) as client:
                yield client
        finally:
            await noise.close()

    async def _dial(self) -> NoiseStream:
        url = self._config.url
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                return await self._dial_stream()
        except TimeoutError:
            raise UnreachableError(
                f"The coordinator at {url} did not answer within {DIAL_TIMEOUT_S:.0f} s. Check "
                "its address, and that no firewall is in between."
            ) from None

    async def _dial_stream(self) -> NoiseStream:
        stream = await self._open_stream()
        try:
            stream = await self._learn_key(stream)
            return await self._upgrade(stream)
        except HttpProtocolError as error:
            raise _not_a_coordinator(self._config.url, str(error)) from None
        except StreamError as error:
            raise _lost(self._config.url, error) from None
        except ProtocolError as error:
            self._server_key = None
            raise ProtocolBrokenError(f"The coordinator at {self._config.url}: {error}.") from None
        finally:
            ...

    async def _learn_key(self, stream: Stream) -> Stream: ...
