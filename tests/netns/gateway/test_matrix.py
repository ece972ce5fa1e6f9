"""Real packets of every kind, from every source to every place, beside a plain reading of rules.

peer 100.64.0.2, .3, .9 ══ tun ══ home ── lan ── printer 192.168.1.10, .20
                                   └── wan ── web, and beyond it 198.51.100.7

Each cell of the matrix is (source, destination, kind of packet); each packet carries its number,
and what raw sockets in the three boxes hear is what came through. What should come through is
worked out here from the rules' own text, without the code under test.
"""

from __future__ import annotations

import ipaddress
import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from tests.netns.gateway.conftest import (
    CLOSED,
    HOME_LAN,
    HOME_LAN6,
    HOME_MESH,
    HOME_MESH6,
    HOME_WAN,
    HOME_WAN6,
    LAN,
    LAN6,
    PEER,
    PEER6,
    PRINTER,
    PRINTER6,
    TUNNEL,
    WEB,
    WEB6,
    Home,
    hardware,
    networks,
)
from tests.support.boxes import PATIENT_S
from tests.support.rawpackets import (
    GRE,
    SCTP,
    TCP,
    UDP,
    Cable,
    collect,
    ears,
    fragments,
    icmp,
    packet,
    sctp,
    tcp,
    udp,
)

pytestmark = pytest.mark.netns

TSMP = 99
MARK = b"cell-"
OTHER, OTHER6 = "100.64.0.3", "fd7a:115c:a1e0::3"
GUEST, GUEST6 = "100.64.0.9", "fd7a:115c:a1e0::9"
CAMERA, CAMERA6 = "192.168.1.20", "fd00:1::20"
FAR, FAR6 = "198.51.100.7", "2001:db8:e::7"
SOURCES = {4: (PEER, OTHER, GUEST), 6: (PEER6, OTHER6, GUEST6)}
DESTINATIONS = {
    4: (HOME_MESH, HOME_LAN, HOME_WAN, PRINTER, CAMERA, WEB, FAR, OTHER, "224.0.0.251"),
    6: (HOME_MESH6, HOME_LAN6, HOME_WAN6, PRINTER6, CAMERA6, WEB6, FAR6, OTHER6, "ff02::fb"),
}
KINDS = (
    "tcp 22",
    "tcp 80",
    "tcp 443",
    "udp 53",
    "udp 80",
    "udp 80 in fragments",
    "udp 80 after options",
    "udp 9999 in fragments",
    "sctp 80",
    "icmp",
    "gre",
    "tsmp",
)
NUMBERS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": 1, "gre": GRE, "tsmp": TSMP}


@dataclass(frozen=True)
class Cell:
    """One packet."""

    number: int
    source: str
    destination: str
    kind: str

    @property
    def protocol(self) -> int:
        return NUMBERS[self.kind.split()[0]]

    @property
    def port(self) -> int:
        return int(self.kind.split()[1]) if " " in self.kind else 0

    def packets(self) -> list[bytes]:
        """As they go over the wire."""
        ends, data = (self.source, self.destination), MARK + b"%06d" % self.number
        data += b"." * 40
        ports = (1024 + self.number, self.port)
        v6 = ":" in self.source
        match self.protocol:
            case 6:
                payload = tcp(*ends, ports, data)
            case 17:
                payload = udp(*ends, ports, data)
            case 132:
                payload = sctp(ports, data)
            case 1:
                payload = icmp(*ends, self.number, data)
            case _:
                payload = bytes(4) + data
        protocol = 58 if v6 and self.protocol == 1 else self.protocol
        if "fragments" in self.kind:
            # The number must be in the first piece: the others are heard only as a whole.
            return fragments(*ends, protocol, payload)
        return [packet(*ends, protocol, payload, options="options" in self.kind)]


def cells() -> Iterator[tuple[str, str, str]]:
    for version in (4, 6):
        yield from itertools.product(SOURCES[version], DESTINATIONS[version], KINDS)


def rule(
    sources: str, destinations: str, ports: str = "*", protocols: tuple[int, ...] = ()
) -> FilterRule:
    """Words apart by spaces; ports as `80`, `80-90` or `*`."""
    first, _, last = ports.partition("-")
    found = (
        PortRange(first=0, last=65535)
        if ports == "*"
        else PortRange(first=int(first), last=int(last or first))
    )
    return FilterRule(
        src_ips=tuple(sources.split()),
        dst_ports=tuple(NetPortRange(ip=ip, ports=found) for ip in destinations.split()),
        ip_proto=protocols or None,
    )


INTERNET = (
    "0.0.0.0-9.255.255.255 11.0.0.0-100.63.255.255 100.128.0.0-169.253.255.255 "
    "169.255.0.0-172.15.255.255 172.32.0.0-192.167.255.255 192.169.0.0-255.255.255.255 "
    "2000::-3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
)
"""How a coordinator writes autogroup:internet."""

POLICIES: dict[str, tuple[FilterRule, ...]] = {
    "nothing": (),
    "everything": (rule("*", "*"),),
    "by source, port and address": (
        rule(f"{PEER} {PEER6}", f"{PRINTER} {PRINTER6}", "80"),
        rule(f"{PEER} {PEER6} {OTHER} {OTHER6}", f"{HOME_MESH} {HOME_MESH6}", "22-53"),
        rule(f"{OTHER} {OTHER6}", f"{LAN} {LAN6}", "*"),
        rule("100.64.0.9 cap:guest", f"{CAMERA} not-an-address", "443"),
    ),
    "overlapping": (
        rule("100.64.0.0-100.64.0.3 fd7a:115c:a1e0::/64", f"{LAN} {LAN6}", "1-100"),
        rule(f"{OTHER} {OTHER6}", f"{PRINTER} {PRINTER6} {CAMERA}", "50-500"),
        rule("*", f"{HOME_LAN} {HOME_LAN6}", "22"),
        rule(f"{GUEST} {GUEST6}", "192.168.1.0-192.168.1.15 fd00:1::/124", "*"),
    ),
    "by protocol": (
        rule(f"{PEER} {PEER6}", f"{LAN} {LAN6}", "*", (TCP,)),
        rule(f"{OTHER} {OTHER6}", "*", "80", (UDP, SCTP)),
        rule(f"{OTHER} {OTHER6}", f"{HOME_MESH} {HOME_MESH6}", "*", (GRE,)),
        rule(f"{GUEST} {GUEST6}", "*", "80", (GRE,)),
        rule(f"{GUEST} {GUEST6}", f"{PRINTER} {PRINTER6}", "*", (1, 58)),
    ),
    "the internet, for some": (
        rule(f"{PEER} {PEER6}", INTERNET),
        rule(f"{OTHER} {OTHER6}", INTERNET, "443"),
        rule(f"{GUEST} {GUEST6}", f"{HOME_MESH} {HOME_MESH6}", "80"),
    ),
}
ROUTES = networks(*(f"{one}/{32 if '.' in one else 128}" for v in (4, 6) for one in SOURCES[v]))
NODE = replace(CLOSED, routes=ROUTES)
ROLES = {
    "node": NODE,
    "subnet router": replace(NODE, advertised=networks(LAN, LAN6), snat=False),
    "subnet router and exit": replace(NODE, advertised=networks(LAN, LAN6), serve_exit=True),
}


def expected(config: GatewayConfig, cell: Cell) -> bool:
    """A plain reading of the rules, and of what this machine offers."""
    source, destination = map(ipaddress.ip_address, (cell.source, cell.destination))
    own = destination in {one.ip for one in config.addresses}
    if own and cell.protocol == TSMP:
        return True
    offered = any(
        destination.version == one.version and destination in one for one in config.advertised
    )
    if not (own or offered or (config.serve_exit and cell.destination in (FAR, FAR6))):
        return False
    return any(rule_allows(one, source, destination, cell) for one in config.filter or ())


def rule_allows(
    one: FilterRule,
    source: ipaddress.IPv4Address | ipaddress.IPv6Address,
    destination: ipaddress.IPv4Address | ipaddress.IPv6Address,
    cell: Cell,
) -> bool:
    if not any(covers(text, source) for text in one.src_ips or ()):
        return False
    for target in one.dst_ports or ():
        if not covers(target.ip, destination):
            continue
        if cell.protocol == 1:
            return True
        ports = target.ports
        if cell.protocol in (TCP, UDP, SCTP):
            fits = ports.first <= cell.port <= ports.last
        else:
            fits = (ports.first, ports.last) == (0, 65535)
        if fits and cell.protocol in (one.ip_proto or (TCP, UDP, 1, 58)):
            return True
    return False


def covers(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if text == "*":
        return True
    try:
        if "-" in text:
            first, last = map(ipaddress.ip_address, text.split("-"))
            return first.version == address.version and int(first) <= int(address) <= int(last)
        return address in ipaddress.ip_network(text)
    except ValueError:
        return False


@pytest.fixture
def street(home: Home) -> Home:
    """The house with a camera, with something far away, and with everybody acquainted."""
    home.printer.ip(f"addr add {CAMERA}/24 dev eth0", f"addr add {CAMERA6}/64 dev eth0 nodad")
    home.web.ip(f"addr add {FAR}/32 dev lo", f"addr add {FAR6}/128 dev lo nodad")
    home.web.ip(f"route add default via {HOME_WAN}", f"route add default via {HOME_WAN6}")
    for address in (OTHER, GUEST, OTHER6, GUEST6):
        peer = hardware(home.peer, "tun")
        home.home.ip(f"neigh replace {address} lladdr {peer} nud permanent dev {TUNNEL}")
    for address in (PRINTER, PRINTER6, CAMERA, CAMERA6, WEB, WEB6):
        assert home.home.pings(address)
    return home


numbers = itertools.count(1)


@pytest.mark.parametrize("role", ROLES)
def test_what_comes_through_is_what_the_rules_say(street: Home, role: str) -> None:
    """Every cell under every policy, one policy after the other."""
    there, here = hardware(street.home, TUNNEL), hardware(street.peer, "tun")
    with street.peer.inside():
        cable = Cable("tun", there, here)
    with ExitStack() as stack:
        stack.callback(cable.close)
        listeners = [
            stack.enter_context(ears(box, NUMBERS.values()))
            for box in (street.home, street.printer, street.web)
        ]
        for name, policy in POLICIES.items():
            config = replace(ROLES[role], filter=policy)
            street.apply(config)
            sent = {n: Cell(n, *cell) for n, cell in zip(numbers, cells(), strict=False)}
            wanted = {n for n, cell in sent.items() if expected(config, cell)}
            for count, cell in enumerate(sent.values()):
                for data in cell.packets():
                    cable.send(data)
                if count % 50 == 0:
                    time.sleep(0.002)  # a cable's queue is short
            heard = {
                int(word.removeprefix(MARK))
                for word in collect(listeners, MARK, len(wanted), PATIENT_S)
            }
            wrong = [sent[n] for n in sorted((heard & sent.keys()) - wanted)]
            missing = [sent[n] for n in sorted(wanted - heard)]
            print(f"{name}: {len(wanted)} of {len(sent)} cells are open")
            assert (wrong, missing) == ([], []), name
