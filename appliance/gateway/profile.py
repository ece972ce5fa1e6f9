"""What a gateway needs of the machine it runs on, and what of it is there.

The plan is pure: it says which settings a role needs and why. Nothing is set for a role that this
machine does not have. What is only looked at (the MTU of a line, our MSS clamp) stands beside it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from appliance.gateway import knobs
from appliance.gateway.config import GatewayConfig
from appliance.gateway.settings import Changed, Wanted
from appliance.host.ethtool import GRO_LIST, UDP_GRO_FORWARDING

FORWARD_V4: Final = "net.ipv4.ip_forward"
FORWARD_V6: Final = "net.ipv6.conf.all.forwarding"

TRACKED_CONNECTIONS: Final = 65_536
"""A household's devices hold some thousand; 320 bytes each make 20 MB if ever all are used."""
CONNECTION_BUCKETS: Final = TRACKED_CONNECTIONS // 4
"""Four connections in a bucket when the table is full; 8 bytes each."""

TUNNEL_MTU: Final = 1280
SMALLEST_UPLINK_MTU: Final = TUNNEL_MTU + 80
"""A full packet of the tunnel in IPv6 (40), UDP (8) and WireGuard (32), in one piece."""


class State(Enum):
    """How a setting stands."""

    OK = "ok"
    """As it should be, and not by our doing."""
    REPAIRED = "repaired"
    """As it should be, because we set it; it goes back when it is needed no more."""
    WRONG = "wrong"
    """Not as it should be."""
    REFUSED = "refused"
    """Not as it should be, and the machine did not let us change it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the host profile."""

    name: str
    wanted: str
    present: str
    state: State
    why: str
    """What it is needed for, in a sentence."""
    fix: str = ""
    """What the owner can do, in a sentence; empty while all is well."""
    essential: bool = False
    """Without it the machine does not do what it promises to others."""

    @property
    def is_fine(self) -> bool:
        """Whether nothing is to be done."""
        return self.state in (State.OK, State.REPAIRED)


@dataclass(frozen=True, slots=True)
class Line:
    """An interface that leads to other machines."""

    name: str
    mtu: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found beside the settings themselves."""

    lines: tuple[Line, ...] = ()
    """The uplinks and LANs."""
    tunnel_mtu: int | None = None
    """None while there is no tunnel."""
    has_ruleset: bool = True
    """Our table, which holds the MSS clamp, is loaded."""
    changed: Mapping[str, Changed] | None = None
    """The record of what we set."""
    refused: Mapping[str, str] | None = None
    """What the machine refused, with its reason."""


def forwards(config: GatewayConfig, version: int) -> bool:
    """Return whether packets of this family pass through for others."""
    return config.serve_exit or any(n.version == version for n in config.advertised)


def forwarding_version(name: str) -> int | None:
    """Return the family that a setting lets through, on an interface or on all; None: another."""
    if name not in (FORWARD_V4, FORWARD_V6) and not name.endswith("/forwarding"):
        return None
    return 6 if "ipv6" in name else 4


def plan_profile(
    config: GatewayConfig, uplinks: tuple[str, ...], *, strict: bool = False
) -> tuple[Wanted, ...]:
    """Return the settings in the order in which they are to be made.

    ``uplinks`` are the interfaces that other machines hang on, LANs too; ``strict`` says whether
    the reverse-path check for all interfaces is strict.
    """
    return (
        *_forwarding(config, uplinks),
        *_reverse_path(config, uplinks, strict=strict),
        *_tracking(config),
        *_offloads(config, uplinks),
    )


def observe_profile(
    config: GatewayConfig, wanted: tuple[Wanted, ...], read: Callable[[str], str | None], seen: Seen
) -> tuple[Setting, ...]:
    """Hold what is there against what is wanted; ``read`` returns a setting's present value."""
    return (
        *(_observe(one, read(one.name), seen) for one in wanted),
        *_sizes(config, seen),
    )


def _forwarding(config: GatewayConfig, uplinks: tuple[str, ...]) -> Iterator[Wanted]:
    """First listen to the router, then forward: a forwarding host no longer hears it unasked."""
    if forwards(config, 6):
        for uplink in uplinks:
            yield Wanted(
                f"net/ipv6/conf/{uplink}/accept_ra",
                "2",
                "A machine that forwards IPv6 goes on hearing its own router.",
                or_else=frozenset({"0"}),  # somebody else reads the router's word
            )
        yield Wanted(FORWARD_V6, "1", "IPv6 passes through for others.", _MORE_V6, essential=True)
    if forwards(config, 4):
        yield Wanted(FORWARD_V4, "1", "IPv4 passes through for others.", essential=True)
        yield Wanted(
            "net.ipv4.conf.all.accept_redirects",
            "0",
            "A router does not let its neighbours change its routes.",
        )
    for version in (6, 4):
        if forwards(config, version):
            for uplink in uplinks:
                yield Wanted(
                    f"net/ipv{version}/conf/{uplink}/forwarding",
                    "1",
                    f"IPv{version} passes through {uplink}.",
                    _MORE_V6 if version == 6 else frozenset(),
                )


_MORE_V6: Final = frozenset({"2"})
"""Forwarding that also sends router solicitations: what older kernels knew beside 1."""


def _reverse_path(
    config: GatewayConfig, uplinks: tuple[str, ...], *, strict: bool
) -> Iterator[Wanted]:
    if config.use_exit:
        yield Wanted(
            "net.ipv4.conf.all.src_valid_mark",
            "1",
            "Encrypted packets come by another way than the default route; their mark counts.",
        )
        yield Wanted(
            "net.ipv6.fwmark_reflect",
            "1",
            "What the kernel answers to an encrypted packet goes the way of that packet.",
        )
    if config.use_exit or forwards(config, 4):
        for uplink in uplinks:
            yield Wanted(
                f"net/ipv4/conf/{uplink}/rp_filter",
                "2",
                "A strict check drops what comes in by another way than answers go out.",
                or_else=frozenset() if strict else frozenset({"0"}),
            )


def _tracking(config: GatewayConfig) -> Iterator[Wanted]:
    if forwards(config, 4) or forwards(config, 6):
        why = "Every connection of those we serve has an entry; new ones fail when it is full."
        for name, value in (("buckets", CONNECTION_BUCKETS), ("max", TRACKED_CONNECTIONS)):
            yield Wanted(f"net.netfilter.nf_conntrack_{name}", str(value), why, at_least=True)


def _offloads(config: GatewayConfig, uplinks: tuple[str, ...]) -> Iterator[Wanted]:
    for uplink in uplinks:
        yield Wanted(
            knobs.feature(uplink, GRO_LIST),
            knobs.OFF,
            "Chained datagrams hide the search for direct paths while there is traffic.",
        )
        if forwards(config, 4) or forwards(config, 6):
            yield Wanted(
                knobs.feature(uplink, UDP_GRO_FORWARDING),
                knobs.ON,
                "Datagrams that pass through are put together, which makes them cheaper.",
            )


def _observe(one: Wanted, present: str | None, seen: Seen) -> Setting:
    name, wanted = one.name.replace("/", "."), one.value
    if one.at_least:
        wanted += " or more"
    if present is None:
        if one.name in (seen.refused or {}):
            return _refused(one, name, wanted, "unreadable", seen)
        return Setting(name, wanted, "not on this machine", State.OK, one.why)
    if one.is_met_by(present):
        ours = (seen.changed or {}).get(one.name)
        state = State.REPAIRED if ours is not None and ours.ours == present else State.OK
        return Setting(name, wanted, present, state, one.why, essential=one.essential)
    if one.name in (seen.refused or {}):
        return _refused(one, name, wanted, present, seen)
    fix = f"Run `{_command(one)}`, or start Latchkey, which sets it."
    return Setting(name, wanted, present, State.WRONG, one.why, fix, one.essential)


def _refused(one: Wanted, name: str, wanted: str, present: str, seen: Seen) -> Setting:
    reason = (seen.refused or {}).get(one.name, "")
    if one.essential:
        fix = f"Nothing is forwarded until it is {one.value}: run `{_command(one)}` on the host."
    else:
        fix = f"Run `{_command(one)}` on the host, or live without it."
    return Setting(
        name, wanted, present, State.REFUSED, one.why, f"{reason} {fix}".strip(), one.essential
    )


def _command(one: Wanted) -> str:
    if one.name.startswith("ethtool "):
        _, device, name = one.name.split(" ")
        return f"ethtool -K {device} {name} {one.value}"
    return f"sysctl -w {one.name}={one.value}"


def _sizes(config: GatewayConfig, seen: Seen) -> Iterator[Setting]:
    if seen.tunnel_mtu is not None:
        right = seen.tunnel_mtu >= TUNNEL_MTU
        yield Setting(
            f"MTU of {config.interface}",
            f"{TUNNEL_MTU} or more",
            str(seen.tunnel_mtu),
            State.OK if right else State.WRONG,
            "IPv6 needs links that carry 1280 bytes.",
            "" if right else f"Run `ip link set {config.interface} mtu {TUNNEL_MTU}`.",
        )
    for line in seen.lines:
        right = line.mtu >= SMALLEST_UPLINK_MTU
        yield Setting(
            f"MTU of {line.name}",
            f"{SMALLEST_UPLINK_MTU} or more",
            str(line.mtu),
            State.OK if right else State.WRONG,
            "A full packet of the tunnel leaves in one piece.",
            "" if right else f"Run `ip link set {line.name} mtu 1500` if the line carries it.",
        )
    if forwards(config, 4) or forwards(config, 6):
        yield Setting(
            "MSS clamp",
            "loaded",
            "loaded" if seen.has_ruleset else "missing",
            State.OK if seen.has_ruleset else State.WRONG,
            "TCP through the tunnel uses packets that fit, also where ICMP is lost.",
            "" if seen.has_ruleset else "Start Latchkey, which loads its table.",
        )
