"""rtnetlink: this machine's links, addresses, routes and policy rules.

The messages are pyroute2's (``rtmessages``), the socket is our own (``netlink``): requests go out
together, a dump that was interrupted is read again, and an error has the kernel's own words.
"""

import errno
from collections.abc import Callable, Iterable
from typing import Final, Self, TypeVar

from appliance.host import rtmessages
from appliance.host.errors import NetlinkError
from appliance.host.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Message,
    NetlinkSocket,
)
from appliance.host.rtmessages import Address, Link, Route, Rule

T = TypeVar("T")

_NO_SUCH_TABLE: Final = frozenset({errno.ENOENT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP})
"""What the kernel says of an empty routing table, and of IPv6 when it is switched off."""


class RtNetlink:
    """The tables of the network namespace that this was made in.

    What the kernel refuses is a ``NetlinkError``.
    """

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_ROUTE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def links(self) -> list[Link]:
        """Read all interfaces."""
        rows = self._netlink.dump(rtmessages.RTM_GETLINK, rtmessages.encode_link_query())
        return [rtmessages.parse_link(row) for row in rows]

    def link(self, name: str) -> Link | None:
        """Read one interface by name."""
        return next((link for link in self.links() if link.name == name), None)

    def add_link(self, name: str, kind: str) -> None:
        """Create a virtual interface, switched off."""
        payload = rtmessages.encode_new_link(name, kind)
        self._netlink.request(rtmessages.RTM_NEWLINK, payload, NLM_F_CREATE | NLM_F_EXCL)

    def delete_link(self, index: int) -> None:
        """Remove a virtual interface."""
        self._netlink.request(rtmessages.RTM_DELLINK, rtmessages.encode_link(index))

    def set_link(
        self,
        index: int,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        alias: str | None = None,
    ) -> None:
        """Change what is given of an interface."""
        payload = rtmessages.encode_link(index, up=up, mtu=mtu, alias=alias)
        self._netlink.request(rtmessages.RTM_NEWLINK, payload)

    def addresses(self) -> list[Address]:
        """Read the addresses of all interfaces."""
        rows = self._netlink.dump(rtmessages.RTM_GETADDR, rtmessages.encode_address_query())
        return _known(rtmessages.parse_address(row) for row in rows)

    def add_address(self, address: Address) -> None:
        """Give an interface an address; it may have it already."""
        payload = rtmessages.encode_address(address)
        self._netlink.request(rtmessages.RTM_NEWADDR, payload, NLM_F_CREATE | NLM_F_REPLACE)

    def delete_address(self, address: Address) -> None:
        """Take an address from an interface."""
        self._netlink.request(rtmessages.RTM_DELADDR, rtmessages.encode_address(address))

    def routes(self, table: int) -> list[Route]:
        """Read one routing table, both families."""
        rows: list[bytes] = []
        for family in rtmessages.FAMILIES:
            rows += self._dump(
                rtmessages.RTM_GETROUTE, rtmessages.encode_route_query(family, table)
            )
        found = _known(rtmessages.parse_route(row) for row in rows)
        return [route for route in found if route.table == table]

    def change_routes(
        self, *, remove: Iterable[Route] = (), add: Iterable[Route] = ()
    ) -> list[tuple[Route, NetlinkError]]:
        """Remove, then add routes; those that were refused are returned with the reason."""
        return self._change(
            rtmessages.encode_route,
            (rtmessages.RTM_DELROUTE, list(remove)),
            (rtmessages.RTM_NEWROUTE, list(add)),
        )

    def rules(self) -> list[Rule]:
        """Read the policy rules, both families."""
        rows: list[bytes] = []
        for family in rtmessages.FAMILIES:
            rows += self._dump(rtmessages.RTM_GETRULE, rtmessages.encode_rule_query(family))
        return list(dict.fromkeys(_known(rtmessages.parse_rule(row) for row in rows)))

    def change_rules(
        self, *, remove: Iterable[Rule] = (), add: Iterable[Rule] = ()
    ) -> list[tuple[Rule, NetlinkError]]:
        """Remove, then add policy rules; those that were refused are returned with the reason."""
        return self._change(
            rtmessages.encode_rule,
            (rtmessages.RTM_DELRULE, list(remove)),
            (rtmessages.RTM_NEWRULE, list(add)),
        )

    def _dump(self, kind: int, query: bytes) -> list[bytes]:
        try:
            return self._netlink.dump(kind, query)
        except NetlinkError as error:
            if error.errno in _NO_SUCH_TABLE:
                return []
            raise

    def _change(
        self,
        encode: Callable[[T], bytes],
        remove: tuple[int, list[T]],
        add: tuple[int, list[T]],
    ) -> list[tuple[T, NetlinkError]]:
        messages = [Message(remove[0], 0, encode(row)) for row in remove[1]]
        flags = NLM_F_CREATE | NLM_F_EXCL
        messages += [Message(add[0], flags, encode(row)) for row in add[1]]
        results = self._netlink.request_all(messages)
        rows = [*remove[1], *add[1]]
        return [(row, error) for row, error in zip(rows, results, strict=True) if error]


def _known(rows: Iterable[T | None]) -> list[T]:
    return [row for row in rows if row is not None]
