"""Established connections take the kernel's short way, and leave it when anything changes.

peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                           └── wan ── web 203.0.113.10, 2001:db8:f::10

Only where the kernel has flow tables (`make test-vm`). What takes the short way gets past a rule
that drops all that is forwarded: that is how it is told.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from appliance.dataplane.kernel import kernel_has_wireguard
from appliance.gateway.config import GatewayConfig
from appliance.gateway.linux import LinuxGateway
from tests.netns.gateway.conftest import (
    EXIT,
    HOME_LAN,
    HOME_MESH,
    LAN,
    LAN6,
    NAT,
    PEER,
    PEER6,
    PLAIN,
    PRINTER,
    PRINTER6,
    ROUTER,
    SITE,
    TUNNEL,
    WEB,
    WEB6,
    Home,
    allow,
    guarded,
    networks,
)
from tests.support.boxes import Box, join
from tests.support.boxtalk import Talk, talk

pytestmark = pytest.mark.netns

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
AWAY = replace(EXIT, local_networks=networks(LAN, LAN6))
"""An exit node for which the web's network is the internet, though a cable leads there."""

_PROBE = (
    "table inet probe { flowtable f { hook ingress priority 0; devices = { lo }; }; "
    "chain c { type filter hook forward priority 0; flow add @f; }; }"
)
_FORWARD = "inet latchkey forward"


def load(box: Box, text: str) -> str:
    """What nft says to a text; nothing when it is done."""
    command = ["ip", "netns", "exec", box.name, "nft", "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stderr


@pytest.fixture(autouse=True)
def flow_tables(house: Home) -> None:
    """Skip where the kernel has none."""
    if load(house.home, f"{_PROBE}\ndelete table inet probe\n"):
        pytest.skip("this kernel has no flow tables (nf_flow_table)")


@contextmanager
def long_way_closed(box: Box) -> Iterator[None]:
    """Nothing is forwarded meanwhile but what takes the short way.

    By a rule in our own chain: a table of somebody else would close the short way.
    """
    box.run(f"nft insert rule {_FORWARD} drop comment closed")
    try:
        yield
    finally:
        listed = box.run(f"nft -a list chain {_FORWARD}")
        for handle in re.findall(r'"closed" # handle (\d+)', listed):
            box.run(f"nft delete rule {_FORWARD} handle {handle}")


def goes_short(box: Box, stream: Talk) -> tuple[bool, bool]:
    """Whether the words of either side take the short way.

    The kernel takes a connection in when one of its packets passes, so a few words of both sides
    may go the long way before.
    """
    found = (False, False)
    for _ in range(5):
        with long_way_closed(box):
            found = stream.goes(), stream.comes()
        if all(found):
            break
        stream.goes()
        stream.comes()
    return found


def live(home: Home, work: Callable[[LinuxGateway], Coroutine[Any, Any, None]]) -> None:
    """Work with one gateway that goes on running, guard and all."""

    async def run() -> None:
        gateway = LinuxGateway(home.record)
        async with guarded(gateway):
            await asyncio.sleep(0)
            await work(gateway)

    home.home.do(run)


async def until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(100):
        if condition():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"waited in vain: {what}")


def is_cut(stream: Talk) -> bool:
    return not stream.goes()


def is_open(home: Home) -> bool:
    return "flowtable" in home.home.run("nft list ruleset")


@pytest.mark.parametrize(
    ("kind", "config", "address"),
    [(TCP, NAT, PRINTER), (UDP, NAT, PRINTER6), (UDP, PLAIN, PRINTER), (TCP, SITE, PRINTER6)],
    ids=["nat", "nat-6", "plain", "site-6"],
)
def test_a_connection_into_the_lan_takes_the_short_way_both_ways(
    home: Home, kind: int, config: GatewayConfig, address: str
) -> None:
    home.apply(config)
    with talk(kind, home.peer, home.printer, address) as stream:
        assert goes_short(home.home, stream) == (True, True)
        assert (stream.goes(), stream.comes()) == (True, True)


@pytest.mark.parametrize(("kind", "address"), [(TCP, WEB), (UDP, WEB6)])
def test_so_does_one_to_the_internet(home: Home, kind: int, address: str) -> None:
    home.apply(AWAY)
    with talk(kind, home.peer, home.web, address) as stream:
        assert goes_short(home.home, stream) == (True, True)


def test_and_one_that_a_host_of_the_lan_opened(home: Home) -> None:
    home.apply(SITE)
    home.printer.ip(f"route add {PEER} via {HOME_LAN}")
    with talk(TCP, home.printer, home.peer, PEER) as stream:
        assert goes_short(home.home, stream) == (True, True)


def test_nothing_begins_on_the_short_way(home: Home) -> None:
    home.apply(NAT)
    with talk(TCP, home.peer, home.printer, PRINTER), long_way_closed(home.home):
        assert home.peer.is_deaf_to(PRINTER)
        with (
            pytest.raises(TimeoutError),
            talk(TCP, home.peer, home.printer, PRINTER),
        ):
            pass


@pytest.mark.parametrize(
    ("kind", "config"), [(TCP, NAT), (UDP, PLAIN), (TCP, SITE)], ids=["nat", "plain", "site"]
)
def test_a_revoked_rule_cuts_what_takes_it_at_once(
    home: Home, kind: int, config: GatewayConfig
) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(config)
        with (
            talk(kind, home.peer, home.printer, PRINTER) as revoked,
            talk(kind, home.peer, home.printer, PRINTER6) as kept,
        ):
            assert goes_short(home.home, revoked) == (True, True)
            assert goes_short(home.home, kept) == (True, True)
            await gateway.apply(replace(config, filter=(allow("*", PRINTER6),)))
            assert (revoked.goes(), revoked.comes()) == (False, False)
            assert (kept.goes(), kept.comes()) == (True, True)
            assert goes_short(home.home, kept) == (True, True)
            assert (revoked.goes(), revoked.comes()) == (False, False)

    live(home, work)


def test_without_a_filter_nothing_passes_any_more(home: Home) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(NAT)
        with talk(UDP, home.peer, home.printer, PRINTER) as stream:
            assert goes_short(home.home, stream) == (True, True)
            await gateway.apply(replace(NAT, filter=None))
            assert (stream.goes(), stream.comes()) == (False, False)
        assert not is_open(home)

    live(home, work)


def test_a_peer_whose_route_goes_is_answered_by_no_other_way(home: Home) -> None:
    """The kernel itself leaves the short way when its route is gone."""
    home.apply(PLAIN)
    for peer, printer in ((PEER, PRINTER), (PEER6, PRINTER6)):
        with talk(UDP, home.peer, home.printer, printer) as stream:
            assert goes_short(home.home, stream) == (True, True)
            home.home.ip(f"route del {peer} dev {TUNNEL} table 5170")
            assert not stream.comes()


def test_a_route_for_some_addresses_moves_them_at_once(home: Home) -> None:
    home.apply(PLAIN)
    for printer in (PRINTER, PRINTER6):
        with talk(UDP, home.peer, home.printer, printer) as stream:
            assert goes_short(home.home, stream) == (True, True)
            home.home.ip(f"route add blackhole {printer} table main")
            assert (stream.goes(), stream.comes()) == (False, True)


def test_a_policy_rule_moves_them_too(home: Home) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(PLAIN)
        for family, printer in (("-4", PRINTER), ("-6", PRINTER6)):
            with talk(UDP, home.peer, home.printer, printer) as stream:
                assert goes_short(home.home, stream) == (True, True)
                home.home.run(f"ip {family} rule add to {printer} prohibit priority 100")
                await until(partial(is_cut, stream), "the rule counts")

    live(home, work)


@pytest.mark.parametrize("config", [ROUTER, AWAY], ids=["router", "exit"])
def test_an_interface_that_vanishes_and_comes_back(house: Home, config: GatewayConfig) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(config)
        assert not is_open(house)
        for _ in range(2):
            house.add_tunnel()
            await gateway.apply(config)
            assert is_open(house)
            target, address = (house.web, WEB) if config.serve_exit else (house.printer, PRINTER)
            with talk(TCP, house.peer, target, address) as stream:
                assert goes_short(house.home, stream) == (True, True)
            house.home.ip(f"link del {TUNNEL}")
            await until(lambda: not is_open(house), "the short way is closed")

    live(house, work)


def test_an_interface_that_is_added_joins_by_itself(home: Home) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(replace(ROUTER, advertised=networks(LAN, LAN6, "10.66.0.0/24")))
        join(home.home, "lan2", home.web, "eth1")
        home.home.ip("addr add 10.66.0.1/24 dev lan2")
        home.web.ip("addr add 10.66.0.10/24 dev eth1")
        with talk(UDP, home.peer, home.web, "10.66.0.10") as stream:
            await until(partial(_has_moved, home, stream), "the new LAN takes it")

    live(home, work)


def _has_moved(home: Home, stream: Talk) -> bool:
    """Whether a stream that has just gone the long way, if need be, takes the short one."""
    return stream.goes() and stream.comes() and goes_short(home.home, stream) == (True, True)


def test_another_firewall_that_looks_at_each_packet_sees_each_packet(home: Home) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(NAT)
        with talk(UDP, home.peer, home.printer, PRINTER) as stream:
            assert goes_short(home.home, stream) == (True, True)
            assert not load(
                home.home,
                "table ip owner { chain evenings { type filter hook forward priority 0; "
                f"ip daddr {PRINTER} counter drop; }}; }}\n",
            )
            await until(lambda: not stream.goes(), "the owner's rule counts")
            assert not is_open(home)
            assert not load(home.home, "delete table ip owner\n")
            await until(lambda: is_open(home), "the short way is open again")
            assert any(stream.goes() for _ in range(5))

    live(home, work)


def test_an_owners_address_translation_alone_is_no_reason(home: Home) -> None:
    assert not load(
        home.home,
        "table ip owner { chain out { type nat hook postrouting priority 100; "
        'oifname "wan" masquerade; }; }\n',
    )
    home.apply(NAT)
    assert is_open(home)


def test_our_table_is_put_back_with_its_short_way(home: Home) -> None:
    async def work(gateway: LinuxGateway) -> None:
        await gateway.apply(NAT)
        home.home.run("nft flush ruleset")
        await until(lambda: is_open(home), "it is back")
        with talk(UDP, home.peer, home.printer, PRINTER) as stream:
            assert goes_short(home.home, stream) == (True, True)

    live(home, work)


def test_nothing_of_it_stays_behind(home: Home) -> None:
    home.apply(EXIT)
    assert is_open(home)
    home.clean_up()
    assert home.home.run("nft list ruleset") == ""


@pytest.mark.parametrize(("kind", "address"), [(TCP, PRINTER), (UDP, PRINTER6)])
def test_it_leads_through_wireguard_of_the_kernel_both_ways(
    house: Home, kind: int, address: str
) -> None:
    if not kernel_has_wireguard():
        pytest.skip("this kernel has no WireGuard")
    house.add_wireguard()
    house.apply(NAT)
    with talk(kind, house.peer, house.printer, address) as stream:
        assert goes_short(house.home, stream) == (True, True)
        house.apply(replace(NAT, filter=(allow("*", HOME_MESH),)))
        assert (stream.goes(), stream.comes()) == (False, False)
