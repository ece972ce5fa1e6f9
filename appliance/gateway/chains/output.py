"""What this machine itself sends, and the marks by which answers to its sockets are known. Pure."""

from collections.abc import Iterator

from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import TCP, UDP
from appliance.gateway.marks import IS_CUT, MARK_MASK, set_ct_mark, set_mark


def prerouting(config: GatewayConfig) -> Iterator[str]:
    """Mark what belongs to marked sockets, so that reverse-path checks pass."""
    mark = set_mark(config.fwmark)
    yield f'iifname {{ "lo", "{config.interface}" }} accept'
    yield f"udp dport {config.listen_port} {mark} accept"
    if config.use_exit:
        yield f"icmpv6 type packet-too-big {mark}"
    yield f"ct mark and {MARK_MASK:#x} == {config.fwmark:#x} {mark}"


def mark_output(config: GatewayConfig) -> Iterator[str]:
    """Remember in the connection that its packets are marked."""
    yield (
        f"ct state new meta mark and {MARK_MASK:#x} == {config.fwmark:#x} "
        f"{set_ct_mark(config.fwmark)}"
    )


def output(config: GatewayConfig, *, cut: bool) -> Iterator[str]:
    """Say nothing more on connections that were cut; keep discovery chatter out of the mesh.

    Only behind an exit node does WireGuard take packets to anybody.
    """
    if cut:
        yield f"{IS_CUT} counter drop"
    if config.use_exit:
        if config.hold_dns:
            yield (
                f'oifname != {{ "lo", "{config.interface}" }} meta l4proto {{ {TCP}, {UDP} }} '
                f"th dport 53 meta mark and {MARK_MASK:#x} != {config.fwmark:#x} counter reject"
            )
        yield 'oifname "lo" accept'
        yield f'oifname != "{config.interface}" goto held_back'
        yield "ip daddr { 224.0.0.0/4, 169.254.0.0/16 } drop"
        yield "ip6 daddr { ff00::/8, fe80::/10 } drop"
