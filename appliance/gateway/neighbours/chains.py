"""Reads other programs' chains from nftables: what would drop, and what of ours is in them.

nfnetlink: family u8 | version u8 (0) | resource u16 | attributes (``host.netlink``), their numbers
in network byte order. iptables-nft and firewalld are nftables too; a rule of iptables keeps its
comment in a "match" expression, one of nft in the rule's user data.

Source: linux include/uapi/linux/netfilter/nf_tables.h and nf_tables_compat.h, 6.12.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.host.netlink import (
    NETLINK_NETFILTER,
    NetlinkSocket,
    attribute_text,
    parse_attributes,
    text,
)

_GET_TABLE: Final = 10 << 8 | 1
_GET_CHAIN: Final = 10 << 8 | 4
_GET_RULE: Final = 10 << 8 | 7

_TABLE_NAME: Final = 1
_TABLE_FLAGS: Final = 2
_FLAG_OWNER: Final = 2
_CHAIN_TABLE: Final = 1
_CHAIN_NAME: Final = 3
_CHAIN_HOOK: Final = 4
_CHAIN_POLICY: Final = 5
_CHAIN_TYPE: Final = 7
_HOOK_NUMBER: Final = 1
_PREROUTING: Final = 0
_ON_THE_WAY: Final = frozenset({_PREROUTING, 2, 4, 5})
"""Before routing, forward, after routing, and arrival (inet, 5.10)."""
_NETDEV: Final = 5
_ARRIVAL: Final = 0
"""The hook of netdev; what leaves meets the other one in any case."""
_RULE_TABLE: Final = 1
_RULE_CHAIN: Final = 2
_RULE_HANDLE: Final = 3
_RULE_EXPRESSIONS: Final = 4
_RULE_USERDATA: Final = 7
_EXPRESSION_NAME: Final = 1
_EXPRESSION_DATA: Final = 2
_IMMEDIATE_DATA: Final = 2
_DATA_VALUE: Final = 1
_DATA_VERDICT: Final = 2
_VERDICT_CODE: Final = 1
_VERDICT_CHAIN: Final = 2
_CMP_DATA: Final = 3
_EXTENSION_NAME: Final = 1
_EXTENSION_INFO: Final = 3
_USERDATA_COMMENT: Final = 0

_DROP: Final = 0
_HARMLESS: Final = frozenset({"counter", "log", "immediate", "reject"})
"""Expressions of a rule that ends every packet's way; any other would choose among them."""

FAMILIES: Final = {1: "inet", 2: "ip", _NETDEV: "netdev", 10: "ip6"}
_MAX_RULES: Final = 5000
"""Of one chain: our own stand at its head, and its end is looked at if it is not longer."""


class Hook(Enum):
    """Where packets meet a chain."""

    INPUT = 1
    FORWARD = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """As much of a rule as we need to know."""

    handle: int
    comment: str = ""
    jump: str = ""
    """The chain that it leads to."""
    is_end: bool = False
    """Drops or rejects whatever reaches it."""
    constants: tuple[bytes, ...] = ()
    """What it compares with: ports, names of interfaces, marks."""


@dataclass(frozen=True, slots=True)
class ChainName:
    """What a chain is found by."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; only those that packets meet by themselves have a hook."""

    name: ChainName
    hook: Hook | None = None
    drops: bool = False
    """What no rule decided is dropped."""
    is_owned: bool = False
    """Its program lets nobody else change the table."""
    hands_on: bool = False
    """Gives arriving packets another destination: ports of this machine lead elsewhere."""
    meets_forwarded: bool = False
    """Every packet that is forwarded meets it, not only a connection's first."""


class Tables:
    """nftables of this network namespace, for reading; a refusal is a ``NetlinkError``."""

    def __init__(self, netlink: NetlinkSocket | None = None) -> None:
        self._netlink = netlink or NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def chains(self) -> list[Chain]:
        """Read all chains of the families that we care for."""
        header = _header(0)
        owned = {
            found
            for row in self._netlink.dump(_GET_TABLE, header)
            if (found := parse_owned_table(row)) is not None
        }
        parsed = (parse_chain(row, owned) for row in self._netlink.dump(_GET_CHAIN, header))
        return [chain for chain in parsed if chain is not None]

    def rules(self, chain: ChainName) -> tuple[Rule, ...]:
        """Read the rules of a chain."""
        family = next(number for number, name in FAMILIES.items() if name == chain.family)
        question = (
            _header(family)
            + attribute_text(_RULE_TABLE, chain.table)
            + attribute_text(_RULE_CHAIN, chain.name)
        )
        rows = self._netlink.dump(_GET_RULE, question)
        # Kernels before 4.6 answer with the rules of every chain.
        return tuple(
            rule for name, rule in map(parse_rule, rows[:_MAX_RULES]) if name == chain.name
        )


def parse_owned_table(row: bytes) -> tuple[int, str] | None:
    """Read family and name of a table that belongs to one program; None for any other."""
    found = dict(parse_attributes(row, 4))
    if not _number(found.get(_TABLE_FLAGS, b"")) & _FLAG_OWNER:
        return None
    return row[0], text(found.get(_TABLE_NAME, b""))


def parse_chain(row: bytes, owned: set[tuple[int, str]]) -> Chain | None:
    """Read a chain; None for one of a family that we have nothing to do with."""
    if not row or row[0] not in FAMILIES:
        return None
    found = dict(parse_attributes(row, 4))
    table = text(found.get(_CHAIN_TABLE, b""))
    name = ChainName(FAMILIES[row[0]], table, text(found.get(_CHAIN_NAME, b"")))
    hook, kind = None, text(found.get(_CHAIN_TYPE, b""))
    number = _number(dict(parse_attributes(found.get(_CHAIN_HOOK, b""))).get(_HOOK_NUMBER, b""))
    meets_forwarded = kind == "filter" and (
        number == _ARRIVAL if row[0] == _NETDEV else number in _ON_THE_WAY
    )
    if kind == "filter" and row[0] != _NETDEV:
        hook = next((one for one in Hook if one.value == number), None)
    hands_on = kind == "nat" and number == _PREROUTING
    policy = found.get(_CHAIN_POLICY)
    drops = hook is not None and policy is not None and _number(policy) == _DROP
    return Chain(name, hook, drops, (row[0], table) in owned, hands_on, meets_forwarded)


def parse_rule(row: bytes) -> tuple[str, Rule]:
    """Read the name of the chain that a rule is in, and the rule."""
    found = dict(parse_attributes(row, 4))
    comment, jump, constants = _userdata_comment(found.get(_RULE_USERDATA, b"")), "", []
    kinds: list[str] = []
    ends = False
    for name, data in _expressions(found.get(_RULE_EXPRESSIONS, b"")):
        kinds.append(name)
        if name == "immediate":
            code, jump = _verdict(data)
            ends = ends or code == _DROP
        elif name == "reject":
            ends = True
        elif name == "cmp":
            constants.append(dict(parse_attributes(data.get(_CMP_DATA, b""))).get(_DATA_VALUE, b""))
        elif name == "match" and text(data.get(_EXTENSION_NAME, b"")) == "comment":
            comment = text(data.get(_EXTENSION_INFO, b""))
            kinds.pop()
        elif name == "target" and text(data.get(_EXTENSION_NAME, b"")) == "REJECT":
            ends = True
            kinds.pop()
    handle = _number(found.get(_RULE_HANDLE, b""))
    is_end = ends and _HARMLESS.issuperset(kinds)
    rule = Rule(handle, comment, jump, is_end, tuple(constants))
    return text(found.get(_RULE_CHAIN, b"")), rule


def _header(family: int) -> bytes:
    return struct.pack("!BBH", family, 0, 0)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")


def _expressions(data: bytes) -> Iterator[tuple[str, dict[int, bytes]]]:
    for _, element in parse_attributes(data):
        found = dict(parse_attributes(element))
        name = text(found.get(_EXPRESSION_NAME, b""))
        yield name, dict(parse_attributes(found.get(_EXPRESSION_DATA, b"")))


def _verdict(data: dict[int, bytes]) -> tuple[int | None, str]:
    value = dict(parse_attributes(data.get(_IMMEDIATE_DATA, b"")))
    if _DATA_VERDICT not in value:
        return None, ""
    verdict = dict(parse_attributes(value[_DATA_VERDICT]))
    return _number(verdict.get(_VERDICT_CODE, b"")), text(verdict.get(_VERDICT_CHAIN, b""))


def _userdata_comment(data: bytes) -> str:
    """Read the comment of nft: pieces of type u8, length u8, value."""
    while len(data) >= 2:
        kind, length = data[0], data[1]
        if kind == _USERDATA_COMMENT:
            return text(data[2 : 2 + length])
        data = data[2 + length :]
    return ""
