"""One ruleset takes the place of another: nothing is lost, nothing is left, nothing is ever open.

peer 100.64.0.2 ══ tun ══ home ── lan ── printer 192.168.1.10
"""

from __future__ import annotations

import asyncio
import re
import threading
from dataclasses import replace

import pytest

from appliance.gateway import nft
from appliance.gateway.config import GatewayConfig
from appliance.gateway.linux import LinuxGateway
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from tests.netns.gateway.conftest import (
    CLOSED,
    EXIT,
    HOME_MESH,
    LAN,
    LAN6,
    OPEN,
    PEER,
    PRINTER,
    ROUTER,
    TUNNEL,
    Home,
    allow,
    hardware,
    networks,
)
from tests.support.boxes import Box
from tests.support.rawpackets import UDP, Cable, ears, packet, udp

pytestmark = pytest.mark.netns

CONFIGS = (
    OPEN,
    ROUTER,
    replace(EXIT, advertised=networks(LAN, LAN6), exit_dns_port=8053),
    replace(OPEN, use_exit=True, hold_dns=True),
    replace(ROUTER, snat=False, entering=networks(LAN), filter=(allow(PEER, PRINTER, 80),)),
    CLOSED,
    replace(ROUTER, filter=()),
)


def rules_of(box: Box) -> list[str]:
    """The ruleset without the names that tell generations apart, and without counts."""
    text = box.run("nft -s list table inet latchkey")
    text = re.sub(r"_[ab]\b", "", re.sub(r"packets \d+ bytes \d+", "", text))
    blocks = text.partition("{\n")[2].rpartition("}")[0].split("\n\n")
    return sorted(block.strip() for block in blocks)


def test_after_any_number_of_updates_the_table_is_as_if_loaded_at_once(home: Home) -> None:
    async def load(configs: tuple[GatewayConfig, ...]) -> None:
        gateway = LinuxGateway(home.record)
        for config in configs:
            await gateway.apply(config)

    for number in range(1, 2 * len(CONFIGS)):
        way = (CONFIGS * 2)[:number]
        home.home.do(lambda way=way: load(way))
        updated = rules_of(home.home)
        home.apply(way[-1])
        assert updated == rules_of(home.home), way[-1]


def test_an_update_of_a_table_that_somebody_took_away_loads_it_as_a_whole(home: Home) -> None:
    async def work() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(OPEN)
        await asyncio.to_thread(home.home.run, "nft flush ruleset")
        await gateway.apply(ROUTER)
        assert nft.identify() is not None

    home.home.do(work)
    assert home.peer.pings(PRINTER)


def test_an_update_that_is_given_up_half_way_is_made_good_by_the_next(home: Home) -> None:
    async def work() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(ROUTER)
        for number in range(12):
            async with asyncio.TaskGroup() as tasks:
                config = replace(ROUTER, filter=(allow(PEER, PRINTER, 80 + number),))
                change = tasks.create_task(gateway.apply(config), name="change")
                await asyncio.sleep(number * 0.004)
                change.cancel()
        await gateway.apply(replace(ROUTER, filter=(allow("*", HOME_MESH),)))

    home.home.do(work)
    assert home.peer.pings(HOME_MESH)
    assert home.peer.is_deaf_to(PRINTER)


def many(first: int) -> tuple[FilterRule, ...]:
    """Two thousand rows that change, and one that stays."""
    return (
        *(
            FilterRule(
                src_ips=(f"100.65.{n % 250}.{n // 250}",),
                dst_ports=tuple(
                    NetPortRange(
                        ip=f"192.168.1.{20 + k}", ports=PortRange(first=first + n, last=first + n)
                    )
                    for k in range(0, 20, 2)
                ),
            )
            for n in range(200)
        ),
        allow(PEER, PRINTER, 80),
    )


def test_while_rules_are_replaced_new_connections_pass_as_before(home: Home) -> None:
    """Old and new rules allow port 80 and forbid port 81; each packet is a new connection."""
    configs = [replace(ROUTER, filter=many(first)) for first in (1000, 2000)]
    over = threading.Event()
    sent: list[int] = []

    async def update() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(configs[0])
        sender.start()
        for number in range(1, 12):
            await gateway.apply(configs[number % 2])
        over.set()

    with home.peer.inside():
        cable = Cable("tun", hardware(home.home, TUNNEL), hardware(home.peer, "tun"))

    def send() -> None:
        number = 0
        while not over.wait(0.0005):
            for port, mark in ((80, b"open-"), (81, b"shut-")):
                data = mark + b"%06d" % number
                ports = (1024 + number % 60_000, port)
                cable.send(packet(PEER, PRINTER, UDP, udp(PEER, PRINTER, ports, data)))
            number += 1
        sent.append(number)

    sender = threading.Thread(target=send)
    assert home.home.pings(PRINTER)
    with ears(home.printer, [UDP]) as ear:
        home.home.do(update)
        sender.join()
        cable.close()
        heard = {word for data in ear.heard(0.3) for word in re.findall(rb"\w{4}-\d{6}", data)}
    assert heard == {b"open-%06d" % number for number in range(sent[0])}
