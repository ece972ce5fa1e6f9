"""GatewayConfig to nftables text: one table, replaced as a whole.

Packets from the tunnel are dropped unless their destination is ours to give (own addresses,
advertised subnets, the internet for an exit node) and the coordinator's filter, or a connection
that it let in before, allows them. Into the tunnel go the machine's own packets, answers, and what
hosts of ``entering`` networks open; nobody else enters the mesh through this machine, and nobody
outside the tunnel can pretend to be in it.

A chain is there only when it has something to do, and the most frequent packets are decided first
by plain comparisons: every packet of the host goes through these hooks.

Only what this table drops is dropped for certain: a packet that it accepts must still pass the
tables of others. Ours stand before them, and what they should let pass carries ADMITTED_MARK or
SUBNET_MARK. Accepted by nft 1.0.6 (Debian 12) and 1.1.3 (Debian 13).
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from appliance.gateway.chains import forward, output
from appliance.gateway.chains.admission import render_admission, render_sets
from appliance.gateway.chains.holdback import hold_back
from appliance.gateway.chains.input import before_dnat, closed_input, mesh_to_us, open_input
from appliance.gateway.classes import Classes, classify
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import GatewayError
from appliance.gateway.filter import Allow
from appliance.gateway.generations import Block, Generation
from appliance.gateway.zones import accepts_subnets, forwards

TABLE: Final = "latchkey"

PRIORITY: Final = "filter - 10"
"""Before the tables of others, which see our marks."""

INTERFACE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,15}")


def plan_ruleset(
    config: GatewayConfig, allows: tuple[Allow, ...], *, cut: bool = False, published: bool = False
) -> tuple[Block, ...]:
    """Return the sets and chains of our table.

    ``allows`` is the config's filter, parsed; without a filter it counts for nothing. With ``cut``
    this machine sends nothing more on connections marked CT_CUT. With ``published`` others hand
    ports of this machine on, to containers for one: the filter then decides by the port that the
    peer asked for.
    """
    if not INTERFACE_NAME.fullmatch(config.interface):
        raise GatewayError(
            f"{config.interface[:20]!r} cannot be an interface name; "
            "use up to 15 letters, digits, dots and dashes."
        )
    return tuple(_blocks(config, allows, cut=cut, published=published))


def render_ruleset(
    config: GatewayConfig, allows: tuple[Allow, ...], *, cut: bool = False, published: bool = False
) -> str:
    """Write what replaces our whole table in one step."""
    blocks = plan_ruleset(config, allows, cut=cut, published=published)
    return Generation.first(TABLE, blocks).render_whole()


def _blocks(
    config: GatewayConfig, allows: tuple[Allow, ...], *, cut: bool, published: bool
) -> Iterator[list[str]]:
    yield from _sending(config, cut=cut)
    if config.filter is None:
        yield _chain("input", closed_input(config), f"filter hook input priority {PRIORITY}")
        closed = forward.closed_forward(config)
        yield _chain("forward", closed, f"filter hook forward priority {PRIORITY}")
        return
    yield from _admitting(tuple(classify(allows, version) for version in (4, 6)))
    yield from _receiving(config, allows, published=published)
    yield from _forwarding(config, published=published)


def _sending(config: GatewayConfig, *, cut: bool) -> Iterator[list[str]]:
    if accepts_subnets(config):
        marking = output.prerouting(config)
        yield _chain("prerouting", marking, "filter hook prerouting priority mangle")
        marking = output.mark_output(config)
        yield _chain("mark_output", marking, "route hook output priority mangle")
    if config.use_exit:
        yield _chain("held_back", hold_back(config))
    if config.use_exit or cut:
        sent = output.output(config, cut=cut)
        yield _chain("output", sent, f"filter hook output priority {PRIORITY}")


def _admitting(classes: tuple[Classes, ...]) -> Iterator[list[str]]:
    for one in classes:
        yield from render_sets(one)
    for one in classes:
        yield _chain(f"admit{one.version}", render_admission(one))


def _receiving(
    config: GatewayConfig, allows: tuple[Allow, ...], *, published: bool
) -> Iterator[list[str]]:
    yield _chain("mesh_to_us", mesh_to_us(config, allows))
    yield _chain("input", open_input(config), f"filter hook input priority {PRIORITY}")
    if published:
        hook = "filter hook prerouting priority dstnat - 10"
        yield _chain("before_dnat", before_dnat(config), hook)
        yield _chain("published", forward.published_ports())


def _forwarding(config: GatewayConfig, *, published: bool) -> Iterator[list[str]]:
    if forwards(config):
        for name, rules in forward.places(config):
            yield _chain(name, rules)
        yield _chain("mesh_onward", forward.mesh_onward(config))
        yield _chain("into_mesh", forward.into_mesh(config))
    passing = forward.open_forward(config, published=published)
    yield _chain("forward", passing, f"filter hook forward priority {PRIORITY}")
    if config.serve_exit and not config.exit_ipv6:
        yield _chain("no_ipv6", forward.no_ipv6(config), "filter hook prerouting priority mangle")
    if config.serve_exit or (config.advertised and config.snat):
        yield _chain("postrouting", forward.masquerade(), "nat hook postrouting priority srcnat")


def _chain(name: str, rules: Iterable[str], hook: str = "") -> list[str]:
    head = [f"\ttype {hook}; policy accept;"] if hook else []
    return [f"chain {name} {{", *head, *(f"\t{rule}" for rule in rules), "}"]
