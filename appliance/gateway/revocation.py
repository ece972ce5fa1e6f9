"""Which connections the filter in force no longer allows. Pure.

A packet of an established connection passes without a look at the rules; so when the rules change,
the connections that they would not let begin now are found here and cut (``conntrack``). One whose
peer has no route any more counts as revoked too: its answers would leave by the uplink.
"""

from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from appliance.gateway import ranges
from appliance.gateway.classes import BOTH, Classes, Layer, Row, classify
from appliance.gateway.config import Flow, GatewayConfig
from appliance.gateway.filter import ICMP, ICMPV6, TCP, TSMP, UDP, Allow
from appliance.gateway.marks import CT_ENTERED, CT_THROUGH, CT_TO_US
from appliance.gateway.ranges import Ranges
from appliance.gateway.zones import exit_users, here, internet
from appliance.protocol.addresses import IPAddress

_ICMP: Final = frozenset({ICMP, ICMPV6})


class Verdicts:
    """Answers for the connections of one moment; equal questions are answered once."""

    def __init__(self, config: GatewayConfig, allows: Iterable[Allow]) -> None:
        """Take the config whose filter was parsed into ``allows``."""
        self._config = config
        self._allows = tuple(allows)
        self._known: dict[tuple[int, IPAddress, IPAddress, int, int], bool] = {}
        self._families = {version: _Family(config, self._allows, version) for version in (4, 6)}

    def allows(self, kind: int, flow: Flow) -> bool:
        """Whether a connection of this kind (CT_THROUGH, ...) could begin now."""
        asked = (kind, flow.source, flow.destination, flow.protocol, flow.port)
        if asked not in self._known:
            self._known[asked] = self._decide(kind, flow)
        return self._known[asked]

    def _decide(self, kind: int, flow: Flow) -> bool:
        family = self._families[flow.source.version]
        source, destination = int(flow.source), int(flow.destination)
        if kind == CT_ENTERED:
            return ranges.has(family.entering, source) and ranges.has(family.routes, destination)
        if not self._config.use_exit and not ranges.has(family.routes, source):
            return False
        if kind == CT_TO_US:
            if not ranges.has(family.here, destination):
                return False
            if flow.protocol == TSMP or family.gives_dns(flow):
                return True
        elif kind != CT_THROUGH or not ranges.has(family.beyond, destination):
            return False
        return family.admits(source, destination, flow.protocol, flow.port)


class _Family:
    """One address family's part, worked out when it is asked for."""

    def __init__(self, config: GatewayConfig, allows: tuple[Allow, ...], version: int) -> None:
        self._config = config
        self._allows = allows
        self._version = version
        self._rows: dict[tuple[int, int], list[tuple[str, Row]]] = {}

    @cached_property
    def entering(self) -> Ranges:
        return ranges.of_networks(self._config.entering, self._version)

    @cached_property
    def routes(self) -> Ranges:
        return ranges.of_networks(self._config.routes, self._version)

    @cached_property
    def here(self) -> Ranges:
        return here(self._config, self._version)

    @cached_property
    def beyond(self) -> Ranges:
        """Return where packets from the tunnel may go on to."""
        places = ranges.of_networks(self._config.advertised, self._version)
        if not self._config.serve_exit:
            return places
        return ranges.merged((*places, *internet(self._config.local_networks, self._version)))

    @cached_property
    def _exit_users(self) -> Ranges:
        return exit_users(self._config, self._allows, self._version)

    @cached_property
    def _classes(self) -> Classes:
        return classify(self._allows, self._version)

    def gives_dns(self, flow: Flow) -> bool:
        return (
            self._config.serve_exit
            and (flow.protocol, flow.port) == (TCP, self._config.exit_dns_port)
            and ranges.has(self._exit_users, int(flow.source))
        )

    def admits(self, source: int, destination: int, protocol: int, port: int) -> bool:
        return any(
            _matches(kind, row, destination, protocol, port)
            for number, layer in enumerate(self._classes.layers)
            if (klass := self._class_in(layer, source)) is not None
            for kind, row in self._rows_of(number, klass)
        )

    def _class_in(self, layer: Layer, source: int) -> int | None:
        if layer.sources is not None:
            return 0 if ranges.has(layer.sources, source) else None
        parts = self._classes.of_source
        index = bisect_right(parts, source, key=lambda part: part[0].first) - 1
        if index < 0 or parts[index][0].last < source:
            return None
        return parts[index][1]

    def _rows_of(self, number: int, klass: int) -> list[tuple[str, Row]]:
        if (number, klass) not in self._rows:
            tables = self._classes.layers[number].tables
            self._rows[number, klass] = [
                (kind, row)
                for kind, rows in (
                    ("", (*tables.whole, *tables.ports)),
                    ("protocol", (*tables.whole_by_protocol, *tables.ports_by_protocol)),
                    ("icmp", tables.icmp),
                )
                for row in rows
                if row.klass == klass
            ]
        return self._rows[number, klass]


def _matches(kind: str, row: Row, destination: int, protocol: int, port: int) -> bool:
    if not row.addresses.first <= destination <= row.addresses.last:
        return False
    if kind == "icmp":
        return protocol in _ICMP
    fits = protocol in (TCP, UDP) if row.protocol == BOTH else protocol == row.protocol
    return fits and row.ports.first <= port <= row.ports.last
