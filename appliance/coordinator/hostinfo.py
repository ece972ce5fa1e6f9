"""What is kept of a node's description, and how much of it. Pure.

Everything here was written by the node itself, so every list and text has a limit.
"""

from typing import Final, TypeVar

import msgspec

from appliance.protocol.addresses import AddrPort
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import Hostinfo

MAX_TEXT: Final = 255
"""A DNS name; no honest field is longer."""

MAX_ROUTES: Final = 256
"""A router of a large office has tens; each costs every peer a route."""

MAX_SERVICES: Final = 64
"""PeerAPI needs three."""

MAX_SSH_KEYS: Final = 16
MAX_SSH_KEY: Final = 4096
"""An RSA-16384 host key in base64 is 2,800 characters."""

MAX_LOCATION: Final = 1024

MAX_ENDPOINTS: Final = 64
"""The reference client stops at about 20."""

T = TypeVar("T")


def clip_hostinfo(info: Hostinfo) -> Hostinfo:
    """Return the description within its limits, without what is kept elsewhere."""
    texts = {
        name: value[:MAX_TEXT]
        for name in info.__struct_fields__
        if isinstance(value := getattr(info, name), str) and len(value) > MAX_TEXT
    }
    services = tuple(
        s for s in (info.services or ())[:MAX_SERVICES] if len(s.proto + s.description) <= MAX_TEXT
    )
    keys = tuple(k for k in (info.ssh_host_keys or ())[:MAX_SSH_KEYS] if len(k) <= MAX_SSH_KEY)
    return msgspec.structs.replace(
        info,
        **texts,
        net_info=None,
        routable_ips=_first(info.routable_ips, MAX_ROUTES),
        services=services or None,
        ssh_host_keys=keys or None,
        request_tags=_first(info.request_tags, MAX_SERVICES),
        location=info.location if _is_small(info.location) else None,
    )


def introduction(info: Hostinfo) -> Hostinfo:
    """Return only what an admin needs to recognise a device that asks to join."""
    return Hostinfo(
        hostname=info.hostname[:MAX_TEXT],
        os=info.os[:40],
        os_version=info.os_version[:80],
        ipn_version=info.ipn_version[:80],
        device_model=info.device_model[:80],
    )


def clip_endpoints(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    """Return the endpoints that can be read, in their order."""
    return tuple(text for text in endpoints[:MAX_ENDPOINTS] if _is_endpoint(text))


def _is_endpoint(text: str) -> bool:
    try:
        AddrPort.parse(text)
    except ProtocolError:
        return False
    return True


def _first(values: tuple[T, ...] | None, count: int) -> tuple[T, ...] | None:
    return values[:count] if values else None


def _is_small(value: object) -> bool:
    return value is None or len(msgspec.json.encode(value)) <= MAX_LOCATION
