"""What a router does to packets: kinds of NAT, the home router's firewall, runtime blocks.

The kinds are named as in RFC 4787: *mapping* says when two flows of one inside socket share an
outside port, *filtering* says whose packets to that port are let in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Behaviour(Enum):
    """On what a mapping or a filter depends (RFC 4787, sections 4.1 and 5)."""

    ENDPOINT_INDEPENDENT = "nothing: one outside port for all, anybody may answer"
    ADDRESS_DEPENDENT = "the remote address"
    PORT_DEPENDENT = "the remote address and port"


@dataclass(frozen=True, slots=True)
class Nat:
    """One kind of NAT."""

    mapping: Behaviour
    filtering: Behaviour


_EI, _AD, _PD = Behaviour
FULL_CONE: Final = Nat(_EI, _EI)
RESTRICTED_CONE: Final = Nat(_EI, _AD)
PORT_RESTRICTED: Final = Nat(_EI, _PD)  # the ordinary home router: Linux masquerade
ADDRESS_SYMMETRIC: Final = Nat(_AD, _PD)
SYMMETRIC: Final = Nat(_PD, _PD)  # "hard": every remote socket sees another port

# Without an entry in the map @mappings, a rule that looks there does not match.
_MAPPINGS: Final = {
    _EI: ["masquerade"],
    _AD: [
        "meta l4proto udp masquerade to :ip saddr . udp sport . ip daddr map @mappings",
        "masquerade fully-random",
    ],
    _PD: ["masquerade fully-random"],
}
# The kernel filters by address and port. A wider filter is a table of learned mappings: the
# outside port (and remote address) of every flow that left, and the inside socket behind it.
_PINHOLES: Final = {
    _EI: ("udp dport", "ct reply proto-dst"),
    _AD: ("udp dport . ip saddr", "ct reply proto-dst . ip daddr"),
}


def render_router(nat: Nat | None, *, nat6: bool, outside: str, inside: str) -> str:
    """The nftables rules of a router: stateful firewall, and NAT if it has one.

    Unsolicited packets are dropped on INPUT too: otherwise a peer's early ping leaves a
    conntrack entry on the router itself and an easy NAT turns hard for that pair.
    """
    return "\n".join(
        [
            "table inet router {",
            _chain("input", "filter", "filter", _input(inside), policy="drop"),
            _chain("forward", "filter", "filter", _forward(inside), policy="drop"),
            *_nat_chains(nat, nat6=nat6, outside=outside),
            "}\n",
        ]
    )


def render_block(match: str) -> str:
    """A table that drops what matches on its way in, out or through, loopback excepted."""
    chains = [
        _chain("input", "filter", "filter - 10", [f'iifname != "lo" {match} drop']),
        _chain("output", "filter", "filter - 10", [f'oifname != "lo" {match} drop']),
        _chain("forward", "filter", "filter - 10", [f"{match} drop"]),
    ]
    return "\n".join(["table inet block", "delete table inet block", _table("block", chains), ""])


UNBLOCK: Final = "table inet block\ndelete table inet block\n"


def _input(inside: str) -> list[str]:
    return [
        'iifname "lo" accept',
        f'iifname "{inside}" accept',
        "ct state established,related accept",
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ]


def _forward(inside: str) -> list[str]:
    return [
        f'iifname "{inside}" accept',
        "ct state established,related accept",
        "ct status dnat accept",
    ]


def _nat_chains(nat: Nat | None, *, nat6: bool, outside: str) -> list[str]:
    rules = []
    if nat is not None:
        rules += [f'oifname "{outside}" meta nfproto ipv4 {m}' for m in _MAPPINGS[nat.mapping]]
    if nat6:
        rules += [f'oifname "{outside}" meta nfproto ipv6 masquerade']
    chains = [_chain("postrouting", "nat", "srcnat", rules)] if rules else []
    if nat is not None and nat.mapping is _AD:
        chains = [*_mappings(outside), *chains]
    if nat is not None and nat.filtering in _PINHOLES:
        chains += _pinholes(*_PINHOLES[nat.filtering], outside=outside)
    return chains


def _mappings(outside: str) -> list[str]:
    """Remembers the outside port that an inside socket got towards an address."""
    flow = "ct original ip saddr . ct original proto-src . ip daddr"
    return [
        "  map mappings { typeof ip saddr . udp sport . ip daddr : udp dport; "
        "flags dynamic,timeout; timeout 2m; }",
        _chain(
            "remember",
            "filter",
            "srcnat + 1",
            [
                f'oifname "{outside}" meta nfproto ipv4 meta l4proto udp ct direction original '
                f"update @mappings {{ {flow} : ct reply proto-dst }}"
            ],
            hook="postrouting",
        ),
    ]


def _pinholes(key: str, learned: str, *, outside: str) -> list[str]:
    inside_socket = "ct original ip saddr . ct original proto-src"
    return [
        f"  map pinholes {{ typeof {key} : ip saddr . udp sport; "
        "flags dynamic,timeout; timeout 2m; }",
        _chain(
            "prerouting",
            "nat",
            "dstnat",
            [f'iifname "{outside}" meta l4proto udp dnat ip to {key} map @pinholes'],
        ),
        _chain(
            "learn",
            "filter",
            "srcnat + 1",
            [
                f'oifname "{outside}" meta nfproto ipv4 meta l4proto udp ct direction original '
                f"update @pinholes {{ {learned} : {inside_socket} }}"
            ],
            hook="postrouting",
        ),
    ]


def _chain(
    name: str, kind: str, priority: str, rules: list[str], *, hook: str = "", policy: str = "accept"
) -> str:
    head = f"type {kind} hook {hook or name} priority {priority}; policy {policy};"
    return "\n".join([f"  chain {name} {{", f"    {head}", *(f"    {r}" for r in rules), "  }"])


def _table(name: str, chains: list[str]) -> str:
    return "\n".join([f"table inet {name} {{", *chains, "}"])
