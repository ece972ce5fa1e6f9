"""The owner's wishes: what ``latchkey up`` and ``latchkey set`` change.

Prefs never say what follows from them (routes, rules, peers); that is planned anew from prefs and
netmap each time.
"""

from typing import Any

import msgspec

from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import IPNetwork, parse_network
from appliance.protocol.errors import ProtocolError

DEFAULT_PORT = 41641


class Prefs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One node's wishes; the defaults are those of a node that nobody has set up."""

    control_url: str = ""
    want_running: bool = False
    logged_out: bool = False
    hostname: str = ""
    """Empty: the machine's own name."""
    advertise_routes: tuple[str, ...] = ()
    """Subnets in CIDR form; ``auto`` stands for the networks that the machine is attached to."""
    advertise_exit_node: bool = False
    accept_routes: bool = False
    exit_node: str = ""
    """Name, tailnet address or stable ID of the exit node in use; ``auto:any``: the nearest one;
    empty: none."""
    exit_node_allow_lan_access: bool = False
    snat_subnet_routes: bool = True
    shields_up: bool = False
    accept_dns: bool = True
    """This machine's lookups go where the mesh wants them: through the exit node in use."""

    @property
    def auto_routes(self) -> bool:
        """Whether attached networks are advertised by themselves."""
        return AUTO in self.advertise_routes

    def fixed_routes(self) -> tuple[IPNetwork, ...]:
        """Return the subnets named one by one."""
        return tuple(parse_network(text) for text in self.advertise_routes if text != AUTO)


AUTO = "auto"
AUTO_EXIT = "auto:any"


class PrefsError(Exception):
    """A wish that cannot be granted; the text says what to write instead."""

    def __init__(self, message: str, status: ExitStatus = ExitStatus.PREFS_REFUSED) -> None:
        super().__init__(message)
        self.status = status


def edit(prefs: Prefs, changes: dict[str, Any]) -> Prefs:
    """Return prefs with some fields changed; unknown fields or unfit values are ``PrefsError``."""
    try:
        edited = msgspec.convert({**msgspec.to_builtins(prefs), **changes}, Prefs, strict=True)
    except msgspec.ValidationError as error:
        raise PrefsError(f"These prefs do not fit: {error}") from None
    unknown = changes.keys() - set(Prefs.__struct_fields__)
    if unknown:
        raise PrefsError(f"Unknown pref {min(unknown)!r}. See `latchkey set --help`.")
    return check(edited)


def check(prefs: Prefs) -> Prefs:
    """Return the same prefs with routes in their canonical form, or raise ``PrefsError``."""
    routes: dict[str, None] = {}
    for text in prefs.advertise_routes:
        routes[text if text == AUTO else str(_checked_route(text))] = None
    _refuse_overlaps([parse_network(text) for text in routes if text != AUTO])
    if prefs.exit_node and prefs.advertise_exit_node:
        raise PrefsError(
            "A node cannot use an exit node and be one. Choose --exit-node or "
            "--advertise-exit-node, not both."
        )
    if prefs.exit_node.startswith("auto:") and prefs.exit_node != AUTO_EXIT:
        raise PrefsError(
            f"{prefs.exit_node!r} is no exit node. Write {AUTO_EXIT} for the nearest, or a name."
        )
    if prefs.hostname and len(prefs.hostname) > 63:
        raise PrefsError("A host name has at most 63 characters.")
    return msgspec.structs.replace(prefs, advertise_routes=tuple(routes))


def _checked_route(text: str) -> IPNetwork:
    try:
        network = parse_network(text)
    except ProtocolError:
        raise PrefsError(
            f"{text!r} is not a subnet. Write it as 192.168.1.0/24, with the bits after the "
            "prefix zero.",
            ExitStatus.ROUTE_MALFORMED,
        ) from None
    if network.prefixlen == 0:
        raise PrefsError(
            f"{network} is not a subnet route. To carry all traffic use --advertise-exit-node.",
            ExitStatus.ROUTE_IS_DEFAULT,
        )
    if network.is_multicast or network.is_link_local or network.is_loopback:
        raise PrefsError(
            f"{network} cannot be routed for others: it is local to each machine.",
            ExitStatus.ROUTE_MALFORMED,
        )
    return network


def _refuse_overlaps(networks: list[IPNetwork]) -> None:
    for index, one in enumerate(networks):
        for other in networks[index + 1 :]:
            if one.version == other.version and one.overlaps(other):
                raise PrefsError(
                    f"{one} and {other} overlap. Advertise only the larger of the two.",
                    ExitStatus.ROUTES_OVERLAP,
                )
