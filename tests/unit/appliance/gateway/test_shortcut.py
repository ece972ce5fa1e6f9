from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from appliance.gateway import nft
from appliance.gateway.config import GatewayConfig
from appliance.gateway.errors import RulesetRefusedError
from appliance.gateway.shortcut import (
    MAX_DEVICES,
    Shortcut,
    ShortcutKeeper,
    forwards_for_others,
    plan_shortcut,
    render_closing,
    render_opening,
)
from appliance.host.rtmessages import IFF_UP, RT_TABLE_MAIN, Link, Route

LAN = ip_network("192.168.1.0/24")
CONFIG = GatewayConfig("latchkey0", (), 41641, 0x80000, advertised=frozenset({LAN}), filter=())
LO = Link(1, "lo", 65536, IFF_UP)
ETH = Link(2, "eth0", 1500, IFF_UP)
TUNNEL = Link(3, "latchkey0", 1280, IFF_UP, "wireguard")
MAIN = [Route(LAN, RT_TABLE_MAIN, link=2), Route(ip_network("127.0.0.0/8"), RT_TABLE_MAIN, link=1)]
OPEN = Shortcut(frozenset({(2, "eth0"), (3, "latchkey0")}))


def plan(*links: Link, config: GatewayConfig = CONFIG) -> Shortcut | None:
    return plan_shortcut(config, links, MAIN, ())


def test_it_is_between_the_tunnel_and_what_routes_lead_over() -> None:
    port_of_a_bridge = Link(4, "port", 1500, IFF_UP, master=2)
    assert plan(LO, ETH, TUNNEL, port_of_a_bridge) == OPEN


@pytest.mark.parametrize(
    "links",
    [(ETH,), (ETH, replace(TUNNEL, flags=0))],
    ids=["without tunnel", "with a tunnel that is down"],
)
def test_there_is_none(links: tuple[Link, ...]) -> None:
    assert plan(*links) is None


def test_there_is_none_where_interfaces_are_countless() -> None:
    many = [Link(10 + n, f"eth{n}", 1500, IFF_UP) for n in range(MAX_DEVICES)]
    main = [Route(LAN, RT_TABLE_MAIN, link=one.index) for one in many]
    assert plan_shortcut(CONFIG, [*many, TUNNEL], main, ()) is None


def test_a_name_that_nft_could_misread_is_left_out() -> None:
    assert plan(ETH, TUNNEL, Link(5, 'a"; }', 1500, IFF_UP)) == OPEN


def test_a_switched_off_interface_is_left_out() -> None:
    assert plan(replace(ETH, flags=0), TUNNEL) == Shortcut(frozenset({(3, "latchkey0")}))


def test_only_who_forwards_by_a_filter_needs_it() -> None:
    assert forwards_for_others(CONFIG)
    assert not forwards_for_others(replace(CONFIG, filter=None))
    assert not forwards_for_others(replace(CONFIG, advertised=frozenset()))
    assert forwards_for_others(replace(CONFIG, advertised=frozenset(), serve_exit=True))


def test_only_what_our_filter_let_begin_and_nobody_cut_is_put_in() -> None:
    text = render_opening(OPEN)
    assert 'devices = { "eth0", "latchkey0" }' in text
    assert "ct mark and 0xfb0000 == 0x20000 ct state established flow add @shortcut" in text


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What nft was given; texts that name eth9 are refused."""
    texts: list[str] = []

    async def load(text: str) -> None:
        texts.append(text)
        if "eth9" in text:
            raise RulesetRefusedError("No such file or directory")

    monkeypatch.setattr(nft, "load", load)
    return texts


async def test_it_is_opened_and_closed_in_our_table(loaded: list[str]) -> None:
    keeper = ShortcutKeeper()
    assert await keeper.open(OPEN)
    assert keeper.present == OPEN
    await keeper.close()
    await keeper.close()
    assert keeper.present is None
    assert loaded == [render_opening(OPEN), render_closing()]


async def test_a_kernel_that_refuses_is_asked_once_for_the_same_interfaces(
    loaded: list[str],
) -> None:
    keeper, refused = ShortcutKeeper(), Shortcut(frozenset({(9, "eth9")}))
    assert not await keeper.open(refused)
    assert not await keeper.open(refused)
    assert len(loaded) == 1
    assert await keeper.open(OPEN)


async def test_what_went_with_its_table_is_not_closed_again(loaded: list[str]) -> None:
    keeper = ShortcutKeeper()
    await keeper.open(OPEN)
    keeper.forget()
    await keeper.close()
    assert loaded == [render_opening(OPEN)]
