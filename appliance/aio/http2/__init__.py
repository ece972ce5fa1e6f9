"""HTTP/2 with prior knowledge over any byte stream, client and server (RFC 9113)."""

from appliance.aio.errors import HttpProtocolError, RequestRefusedError, StreamClosedError
from appliance.aio.http2.budget import ByteBudget
from appliance.aio.http2.client import Http2Client, ResponseStream, open_http2
from appliance.aio.http2.server import Http2Exchange, Http2Limits, serve_http2

__all__ = [
    "ByteBudget",
    "Http2Client",
    "Http2Exchange",
    "Http2Limits",
    "HttpProtocolError",
    "RequestRefusedError",
    "ResponseStream",
    "StreamClosedError",
    "open_http2",
    "serve_http2",
]
