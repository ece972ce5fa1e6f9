"""The time as the login server tells it: the ``Date`` of one answer over verified TLS.

The certificate's chain and its name are verified as always, only not against this machine's clock,
which is the question. When the certificate is valid comes with the answer instead.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance.aio.connect import connect_tcp
from appliance.aio.errors import StreamError
from appliance.aio.http1 import Http1Client, Http1Limits
from appliance.aio.messages import HttpRequest, HttpResponse
from appliance.aio.stream import TcpStream
from appliance.aio.tls import client_context
from appliance.controlclient.config import ControlUrl
from appliance.firstboot.errors import ClockRefusedError, LaterError
from appliance.protocol.tailcfg import CAPABILITY_VERSION

# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for.
_NO_CHECK_TIME: Final = 0x200000
_HTTP_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"
"""RFC 9110, section 5.6.7: what servers must send."""

ASK_S: Final = 10.0
"""Name, connection, TLS and answer together, as for the agent's own connection."""
_LIMITS: Final = Http1Limits(header_bytes=16 * 1024, body_bytes=64 * 1024)
"""A coordinator's answer has less than 1 KiB, an error page of a proxy less than these."""


@dataclass(frozen=True, slots=True)
class ServerTime:
    """What a server said, and when its certificate is valid."""

    server: str
    date: datetime
    not_before: datetime
    not_after: datetime


async def ask(url: ControlUrl, ca_file: Path | None = None) -> ServerTime:
    """Ask a server for the time; ``LaterError`` when it may answer later.

    It is asked what the agent asks first, so every coordinator answers. Only the first answer
    counts, whatever its status: a redirect is not followed.
    """
    if not url.is_tls:
        raise ClockRefusedError(
            f"{url} is not asked for the time: without TLS anybody on the way could answer. Only "
            "NTP can set the clock."
        )
    try:
        async with asyncio.timeout(ASK_S):
            return await _ask(url, _context(ca_file))
    except TimeoutError:
        raise LaterError(f"{url} did not tell the time within {ASK_S:.0f} s.") from None
    except ssl.SSLCertVerificationError as error:
        raise ClockRefusedError(
            f"{url} is not believed about the time: {error.verify_message}."
        ) from None
    except (OSError, StreamError, ValueError) as error:  # ValueError: a name that cannot be one
        raise LaterError(f"{url} cannot be asked for the time: {_reason(error)}.") from None


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = client_context(ca_file)
    context.verify_flags |= _NO_CHECK_TIME
    return context


async def _ask(url: ControlUrl, tls: ssl.SSLContext) -> ServerTime:
    sock = await connect_tcp(url.host, url.port)
    reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=url.host)
    stream = TcpStream(reader, writer)
    try:
        target = f"{url.prefix}/key?v={CAPABILITY_VERSION}"
        headers = (("Host", url.authority), ("Connection", "close"))
        response = await Http1Client(stream, _LIMITS).request(HttpRequest("GET", target, headers))
        certificate: dict[str, Any] = writer.get_extra_info("peercert")
    finally:
        await stream.close()
    return ServerTime(
        str(url),
        _date(url, response),
        _moment(certificate["notBefore"]),
        _moment(certificate["notAfter"]),
    )


def _date(url: ControlUrl, response: HttpResponse) -> datetime:
    try:
        return datetime.strptime(response.header("Date") or "", _HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        raise ClockRefusedError(f"{url} answers, but does not say what time it is.") from None


def _moment(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it does not speak TLS ({error.reason})"
    return (error.strerror if isinstance(error, OSError) else "") or str(error)
