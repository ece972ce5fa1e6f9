"""Features of a network interface, as ``ethtool -k`` shows and ``ethtool -K`` sets them.

Generic netlink, family "ethtool": command u8 | version u8 (1) | reserved u16 | attributes.
FEATURES_GET asks with a header (device name); the answer holds bitsets, of which ACTIVE lists the
names of the features that are on. FEATURES_SET has a WANTED bitset of names and values; the kernel
says "done" also when a feature stays as it was, so it is read again.

Source: linux Documentation/networking/ethtool-netlink.rst, 6.12; needs Linux 5.6.
"""

import struct
from collections.abc import Mapping
from typing import Final, Self

from appliance.host.errors import HostError, NetlinkError
from appliance.host.netlink import (
    NETLINK_GENERIC,
    NetlinkSocket,
    attribute,
    attribute_text,
    nested,
    number,
    parse_attributes,
    text,
)

UDP_GRO_FORWARDING: Final = "rx-udp-gro-forwarding"
"""Datagrams that only pass through are put together, so the tunnel encrypts them in one go."""
GRO_LIST: Final = "rx-gro-list"
"""Chains datagrams instead: a socket that shares its port with WireGuard then misses some."""

_GENL_ID_CTRL: Final = 0x10
_CTRL_CMD_GETFAMILY: Final = 3
_CTRL_ATTR_FAMILY_ID: Final = 1
_CTRL_ATTR_FAMILY_NAME: Final = 2

_FEATURES_GET: Final = 11
_FEATURES_SET: Final = 12
_FEATURES_HEADER: Final = 1
_FEATURES_WANTED: Final = 3
_FEATURES_ACTIVE: Final = 4
_HEADER_DEVICE_NAME: Final = 2
_BITSET_BITS: Final = 3
_BITS_BIT: Final = 1
_BIT_NAME: Final = 2
_BIT_VALUE: Final = 3

_GENERIC_HEADER: Final = struct.Struct("=BBH")
_ON: Final = attribute(_BIT_VALUE, b"")


class Ethtool:
    """Interface features of this network namespace; what the kernel refuses is a ``HostError``."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_GENERIC)
        try:
            self._family = self._find_family()
        except NetlinkError as error:
            self._netlink.close()
            raise HostError(f"This kernel has no ethtool netlink interface ({error}).") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def active_features(self, device: str) -> frozenset[str]:
        """Read the names of the features that are on."""
        try:
            answers = self._netlink.request(self._family, encode_features_get(device))
        except NetlinkError as error:
            raise HostError(f"The features of {device} cannot be read: {error}.") from error
        return parse_active_features(answers[0]) if answers else frozenset()

    def set_features(self, device: str, wanted: Mapping[str, bool]) -> None:
        """Switch features on or off; the driver may keep them as they are, so read again."""
        try:
            self._netlink.request(self._family, encode_features_set(device, wanted))
        except NetlinkError as error:
            names = ", ".join(wanted)
            raise HostError(f"{device} refused to change {names}: {error}.") from error

    def _find_family(self) -> int:
        question = _GENERIC_HEADER.pack(_CTRL_CMD_GETFAMILY, 1, 0)
        question += attribute_text(_CTRL_ATTR_FAMILY_NAME, "ethtool")
        for answer in self._netlink.request(_GENL_ID_CTRL, question):
            found = dict(parse_attributes(answer, _GENERIC_HEADER.size))
            return number(found.get(_CTRL_ATTR_FAMILY_ID, b""))
        return 0


def encode_features_get(device: str) -> bytes:
    """Ask for the features of a device."""
    return _GENERIC_HEADER.pack(_FEATURES_GET, 1, 0) + _header(device)


def encode_features_set(device: str, wanted: Mapping[str, bool]) -> bytes:
    """Ask for features to be on (True) or off; those not named stay."""
    bits = [
        nested(_BITS_BIT, [attribute_text(_BIT_NAME, name), *([_ON] if is_on else [])])
        for name, is_on in wanted.items()
    ]
    bitset = nested(_FEATURES_WANTED, [nested(_BITSET_BITS, bits)])
    return _GENERIC_HEADER.pack(_FEATURES_SET, 1, 0) + _header(device) + bitset


def parse_active_features(answer: bytes) -> frozenset[str]:
    """Read the names of the features that are on from an answer to FEATURES_GET."""
    found = dict(parse_attributes(answer, _GENERIC_HEADER.size))
    bitset = dict(parse_attributes(found.get(_FEATURES_ACTIVE, b"")))
    return frozenset(
        text(dict(parse_attributes(bit)).get(_BIT_NAME, b""))
        for kind, bit in parse_attributes(bitset.get(_BITSET_BITS, b""))
        if kind == _BITS_BIT
    )


def _header(device: str) -> bytes:
    return nested(_FEATURES_HEADER, [attribute_text(_HEADER_DEVICE_NAME, device)])
