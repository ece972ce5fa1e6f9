"""JSON for the control protocol's messages.

Keys and networks travel as their text forms. A document that does not fit its type is a
``ProtocolError``; fields that we do not know are ignored.
"""

import abc
import ipaddress
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from appliance.protocol.addresses import IPNetwork
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import PublicKey

T = TypeVar("T")

if TYPE_CHECKING:
    Network = IPNetwork
else:
    # msgspec wants one custom type in a field; this one stands for both families at run time.
    class Network(abc.ABC):  # noqa: B024 - the two standard classes are its only members
        """An IPv4 or IPv6 network."""

    Network.register(ipaddress.IPv4Network)
    Network.register(ipaddress.IPv6Network)


class Message(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True, kw_only=True):
    """Base of every message: immutable, absent fields are not written."""


def decode(kind: type[T], data: bytes | str | memoryview) -> T:
    """Read one JSON document as ``kind``; anything else is a ``ProtocolError``."""
    try:
        value: T = _decoder(kind).decode(data)  # type: ignore[arg-type]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"not a {kind.__name__}: {error}") from None
    return value


def encode(value: Message) -> bytes:
    """Write one JSON document, without spaces."""
    return _encoder.encode(value)


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder[Any](kind, dec_hook=_from_wire)


def _from_wire(kind: Any, value: Any) -> Any:
    if kind is Network and isinstance(value, str):
        return ipaddress.ip_network(value, strict=False)
    if issubclass(kind, PublicKey) and isinstance(value, str):
        try:
            return kind.parse(value)
        except ProtocolError as error:
            raise ValueError(str(error)) from None
    raise ValueError(f"expected the text form of a {kind.__name__}")


def _to_wire(value: object) -> str:
    if isinstance(value, PublicKey):
        return value.text()
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return str(value)
    raise NotImplementedError(type(value).__name__)


_encoder = msgspec.json.Encoder(enc_hook=_to_wire)
