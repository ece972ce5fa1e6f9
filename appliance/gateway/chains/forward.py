"""What goes on through this machine: out of the tunnel, and into it. Pure."""

from collections.abc import Iterator
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.chains.admission import ADDRESS, match
from appliance.gateway.chains.refusals import pretenders, strays
from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import TCP
from appliance.gateway.marks import (
    ADMITTED_MARK,
    CT_ENTERED,
    CT_THROUGH,
    CT_TO_US,
    IS_FORWARDED,
    MARK_MASK,
    SUBNET_MARK,
    WAS_FORWARDED,
    set_ct_mark,
    set_mark,
)
from appliance.gateway.zones import beyond, forwards

_CLAMP: Final = "tcp flags and (syn | rst) == syn tcp option maxseg size set rt mtu"


def closed_forward(config: GatewayConfig) -> Iterator[str]:
    """Without a filter nothing goes on, out of the tunnel or into it."""
    yield f'iifname "{config.interface}" drop'
    yield f'oifname "{config.interface}" drop'


def open_forward(config: GatewayConfig, *, published: bool) -> Iterator[str]:
    """Let ``mesh_onward`` and ``into_mesh`` decide about what goes through the tunnel."""
    if published:
        yield from _handed_on(config)
    goes_on = forwards(config)
    yield f'iifname "{config.interface}" ' + ("goto mesh_onward" if goes_on else "counter drop")
    yield f'oifname "{config.interface}" ' + ("goto into_mesh" if goes_on else "counter drop")
    # An answer to a peer, or its packet, on a way that no longer leads there.
    yield f"{WAS_FORWARDED} counter drop"
    yield from pretenders(config)


def mesh_onward(config: GatewayConfig) -> Iterator[str]:
    """Let packets from the tunnel go on, each to the place where its destination is."""
    admitted = set_mark(ADMITTED_MARK)
    yield _CLAMP
    yield f"{IS_FORWARDED} ct state established {admitted} accept"
    yield f'oifname "{config.interface}" counter drop'
    yield from strays(f"{IS_FORWARDED} ct state related {admitted} accept")
    # An answer to a host that may not enter (any more) opens nothing, whatever the filter says.
    yield "ct direction reply counter drop"
    for version in (4, 6):
        ways = [
            f"{ranges.render((one,), version)} : goto {place}{version}"
            for place, found in beyond(config, version)
            for one in found
        ]
        if ways:
            yield f"{ADDRESS[version]} daddr vmap {{ {', '.join(ways)} }}"
    yield "counter drop"


def places(config: GatewayConfig) -> Iterator[tuple[str, list[str]]]:
    """Ask the filter, in a chain for each place that packets from the tunnel may go on to."""
    admitted = f"{set_ct_mark(CT_THROUGH)} accept"
    for version in (4, 6):
        for place, _ in beyond(config, version):
            masquerades = config.snat or place == "to_internet"
            mark = set_mark(SUBNET_MARK if masquerades else ADMITTED_MARK)
            if version == 6 and place == "to_internet" and not config.exit_ipv6:
                last = "reject with icmpv6 no-route"
            else:
                last = f"{mark} {admitted}"
            yield f"{place}{version}", [f"jump admit{version}", last]


def into_mesh(config: GatewayConfig) -> Iterator[str]:
    """Let answers into the tunnel, and what hosts of ``entering`` networks open."""
    admitted = set_mark(ADMITTED_MARK)
    yield _CLAMP
    yield f"{IS_FORWARDED} ct state established,related {admitted} accept"
    yield "ct state != new counter drop"
    for version in (4, 6):
        source = ranges.of_networks(config.entering, version)
        target = ranges.of_networks(config.routes, version)
        if source and target:
            # The middle of a connection that we do not know is the rest of one that was cut.
            yield "tcp flags and (fin | syn | rst | ack) != syn counter drop"
            yield (
                f"{match(version, 'saddr', source)} {match(version, 'daddr', target)} "
                f"{admitted} {set_ct_mark(CT_ENTERED)} accept"
            )
    yield "counter drop"


def published_ports() -> Iterator[str]:
    """Let pass what was admitted to a port of ours and is handed on."""
    yield _CLAMP
    yield f"{set_mark(ADMITTED_MARK)} accept"


def no_ipv6(config: GatewayConfig) -> Iterator[str]:
    """Refuse connections before the kernel finds no route: it says so once a second at most."""
    for place, outside in beyond(config, 6):
        if place == "to_internet":
            yield (
                f'iifname "{config.interface}" {match(6, "daddr", outside)} '
                f"meta l4proto {TCP} reject with tcp reset"
            )


def masquerade() -> Iterator[str]:
    """Replace the source address of what was marked for it."""
    yield f"meta mark and {MARK_MASK:#x} == {SUBNET_MARK:#x} masquerade"


def _handed_on(config: GatewayConfig) -> Iterator[str]:
    """Let pass what was admitted to a port of ours before somebody handed it on."""
    tunnel = config.interface
    handed_on = f"ct status dnat ct mark and {MARK_MASK:#x} == {CT_TO_US:#x} goto published"
    yield f'iifname "{tunnel}" oifname != "{tunnel}" {handed_on}'
    yield f'oifname "{tunnel}" ct direction reply {handed_on}'
