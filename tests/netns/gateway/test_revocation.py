"""A rule that is taken away ends what it let begin, both ways; what is still allowed goes on.

peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10, fd00:1::10
                           └── wan ── web 203.0.113.10, 2001:db8:f::10
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.gateway.config import Flow, GatewayConfig
from appliance.gateway.linux import LinuxGateway
from tests.netns.gateway.conftest import (
    ANYTHING,
    HOME_LAN,
    HOME_MESH,
    HOME_MESH6,
    NAT,
    PEER,
    PEER6,
    PLAIN,
    PRINTER,
    PRINTER6,
    ROUTER,
    SITE,
    WEB,
    Home,
    allow,
    networks,
)
from tests.support.boxtalk import talk

pytestmark = pytest.mark.netns

KINDS = pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])


@KINDS
@pytest.mark.parametrize("config", [NAT, PLAIN, SITE], ids=["nat", "plain", "site"])
@pytest.mark.parametrize("address", [PRINTER, PRINTER6])
def test_a_revoked_rule_cuts_connections_into_the_lan_both_ways(
    home: Home, kind: int, config: GatewayConfig, address: str
) -> None:
    home.apply(config)
    with (
        talk(kind, home.peer, home.printer, address) as revoked,
        talk(kind, home.peer, home.home, HOME_MESH) as kept,
    ):
        home.apply(replace(config, filter=(allow("*", HOME_MESH),)))
        assert (revoked.goes(), revoked.comes()) == (False, False)
        assert (kept.goes(), kept.comes()) == (True, True)


@KINDS
@pytest.mark.parametrize("address", [HOME_MESH, HOME_MESH6, HOME_LAN])
def test_a_revoked_rule_cuts_connections_to_the_machine_itself_both_ways(
    home: Home, kind: int, address: str
) -> None:
    home.apply(ROUTER)
    with (
        talk(kind, home.peer, home.home, address) as revoked,
        talk(kind, home.peer, home.printer, PRINTER) as kept,
        talk(kind, home.home, home.peer, PEER) as own,
    ):
        home.apply(replace(ROUTER, filter=(allow("*", PRINTER),)))
        assert (revoked.comes(), revoked.goes(), revoked.comes()) == (False, False, False)
        assert (kept.goes(), kept.comes()) == (True, True)
        assert (own.goes(), own.comes()) == (True, True)


@KINDS
def test_what_is_allowed_again_goes_on(home: Home, kind: int) -> None:
    home.apply(ROUTER)
    with (
        talk(kind, home.peer, home.printer, PRINTER) as through,
        talk(kind, home.peer, home.home, HOME_MESH) as to_us,
    ):
        home.apply(replace(ROUTER, filter=()))
        assert not through.goes()
        assert not to_us.comes()
        home.apply(ROUTER)
        for one in (through, to_us):
            # What was lost meanwhile is sent again by TCP, after a while.
            assert any(one.goes() for _ in range(10))
            assert any(one.comes() for _ in range(10))


@KINDS
def test_a_subnet_that_is_offered_no_more_is_cut_too(home: Home, kind: int) -> None:
    home.apply(NAT)
    with talk(kind, home.peer, home.printer, PRINTER) as revoked:
        home.apply(replace(NAT, advertised=networks("10.77.0.0/24")))
        assert (revoked.comes(), revoked.goes()) == (False, False)


@pytest.mark.parametrize("config", [NAT, PLAIN], ids=["nat", "plain"])
def test_answers_to_a_peer_without_route_never_leave_by_the_uplink(
    home: Home, config: GatewayConfig
) -> None:
    """He is gone from the mesh, and the default route would take them."""
    home.apply(config)
    with talk(socket.SOCK_DGRAM, home.peer, home.printer, PRINTER) as stream:
        home.apply(replace(config, routes=networks(f"{PEER6}/128")))
        assert "dev wan" in home.home.run(f"ip route get {PEER}")
        with home.web.inside():
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        with ear:
            ear.bind(("eth0", 0x0800))
            assert not stream.comes()
            ear.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    assert b"word" not in ear.recv(2048)


@KINDS
def test_a_host_that_may_enter_no_more_is_cut_off(home: Home, kind: int) -> None:
    home.apply(SITE)
    home.printer.ip(f"route add {PEER} via {HOME_LAN}")
    with talk(kind, home.printer, home.peer, PEER) as entered:
        home.apply(PLAIN)
        assert (entered.goes(), entered.comes()) == (False, False)


def test_flows_tell_who_reached_what(home: Home) -> None:
    home.apply(NAT)

    async def flows() -> tuple[Flow, ...]:
        return await LinuxGateway(home.record).flows()

    assert home.home.do(flows) == ()
    assert home.home.pings(WEB)  # our own connections are nobody else's business
    with (
        talk(socket.SOCK_STREAM, home.peer, home.printer, PRINTER) as one,
        talk(socket.SOCK_DGRAM, home.peer, home.home, HOME_MESH6) as other,
    ):
        port, port6 = one.server.getsockname()[1], other.server.getsockname()[1]
        assert set(home.home.do(flows)) == {
            Flow(ip_address(PEER), ip_address(PRINTER), 6, port, answered=True),
            Flow(ip_address(PEER6), ip_address(HOME_MESH6), 17, port6, answered=True),
        }
        home.apply(replace(NAT, filter=()))
        assert home.home.do(flows) == ()


def test_after_a_restart_of_the_agent_connections_are_judged_again(home: Home) -> None:
    home.apply(replace(NAT, filter=ANYTHING))
    with talk(socket.SOCK_DGRAM, home.peer, home.printer, PRINTER) as stream:
        home.home.run("nft delete table inet latchkey")
        home.apply(replace(NAT, filter=(allow("*", HOME_MESH),)))
        assert (stream.goes(), stream.comes()) == (False, False)
