"""What a gateway puts into the kernel, how it goes away again, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from appliance.gateway import nft
from appliance.gateway.config import GatewayStatus
from appliance.gateway.errors import NftMissingError, NotPermittedError, RulesetRefusedError
from appliance.gateway.linux import LinuxGateway
from tests.netns.gateway.conftest import (
    CLOSED,
    EXIT,
    HOME_MESH,
    LAN,
    LAN6,
    OPEN,
    PEER,
    ROUTER,
    TUNNEL,
    WEB,
    Home,
    guarded,
    networks,
)
from tests.support.boxes import REPOSITORY, Box

pytestmark = pytest.mark.netns

EVERYTHING = replace(EXIT, use_exit=True, advertised=networks(LAN, LAN6))
FORWARDING = "net.ipv4.ip_forward"
FORWARDING6 = "net.ipv6.conf.all.forwarding"


def sysctl(box: Box, name: str) -> str:
    return box.run(f"sysctl -n {name}").strip()


def traces(box: Box) -> str:
    """Everything in a box that could be ours."""
    shown = [box.run("nft -s list ruleset"), box.run("ip rule"), box.run("ip -6 rule")]
    for family in ("-4", "-6"):
        routes = box.run(f"ip {family} route show table all").splitlines()
        # The kernel's own link-local routes come when it is done checking for duplicates.
        shown += [line for line in routes if "proto kernel" not in line and "fe80" not in line]
    settings = ("ip_forward", "conf.all.src_valid_mark", "conf.all.rp_filter")
    shown += [sysctl(box, f"net.ipv4.{name}") for name in settings]
    settings = ("conf.all.forwarding", "fwmark_reflect", "conf.wan.accept_ra")
    shown += [sysctl(box, f"net.ipv6.{name}") for name in settings]
    return "\n".join(shown)


def test_the_kernel_shows_rules_and_routes_with_our_numbers(home: Home) -> None:
    home.apply(replace(ROUTER, routes=ROUTER.routes | networks("10.9.0.0/16")))
    for family in ("-4", "-6"):
        rules = home.home.run(f"ip {family} rule").splitlines()
        assert [rule.split(":")[0] for rule in rules if "proto 76" in rule] == [
            "5110",
            "5130",
            "5150",
            "5155",
            "5160",
            "5170",
        ]
    routes = home.home.run("ip route show table 5170").splitlines()
    assert {route.strip() for route in routes} == {
        "throw 192.168.1.0/24 proto 76",
        "throw 203.0.113.0/24 proto 76",
        f"{PEER} dev {TUNNEL} proto 76 scope link",
        f"10.9.0.0/16 dev {TUNNEL} proto 76 scope link",
    }
    assert f"dev {TUNNEL}" in home.home.run("ip route get 10.9.1.1")
    assert "dev wan" in home.home.run("ip route get 10.9.1.1 mark 0x80000")


def test_an_exit_node_takes_both_defaults_but_not_the_lan_nor_marked_packets(home: Home) -> None:
    home.apply(replace(OPEN, use_exit=True))
    for family, address in (("-4", "198.51.100.7"), ("-6", "2001:db8:e::7")):
        assert f"dev {TUNNEL}" in home.home.run(f"ip {family} route get {address}")
        assert "dev wan" in home.home.run(f"ip {family} route get {address} mark 0x80000")
    assert "dev lan" in home.home.run("ip route get 192.168.1.10")
    home.apply(OPEN)
    assert "dev wan" in home.home.run("ip route get 198.51.100.7")


def test_when_the_tunnel_vanishes_exit_traffic_goes_nowhere_instead_of_out_in_the_clear(
    home: Home,
) -> None:
    home.apply(replace(OPEN, use_exit=True))
    home.home.run(f"ip link del {TUNNEL}")
    for family, address in (("-4", "198.51.100.7"), ("-6", "2001:db8:e::7")):
        assert home.home.attempt(f"ip {family} route get {address}").returncode != 0
        assert "dev wan" in home.home.run(f"ip {family} route get {address} mark 0x80000")
    home.apply(replace(OPEN, use_exit=True))
    home.apply(OPEN)
    assert "dev wan" in home.home.run("ip route get 198.51.100.7")


def test_marked_packets_never_fall_into_the_tunnel(home: Home) -> None:
    home.apply(replace(OPEN, use_exit=True))
    for gateway in (WEB, "2001:db8:f::10"):
        home.home.run(f"ip route del default via {gateway}")
    lost = home.home.attempt("ip route get 198.51.100.7 mark 0x80000")
    assert "unreachable" in lost.stderr


def test_observing_tells_what_is_there(home: Home) -> None:
    nothing = home.observe()
    assert not nothing.ruleset
    assert (nothing.rules, nothing.routes, nothing.local_networks) == (0, frozenset(), frozenset())
    home.apply(EVERYTHING)
    status = home.observe()
    assert status.ruleset
    assert status.rules == 2
    assert status.routes == EVERYTHING.routes | networks("0.0.0.0/0", "::/0")
    assert status.local_networks == EVERYTHING.local_networks
    assert (status.forwarding_ipv4, status.forwarding_ipv6) == (True, True)


def test_applying_again_changes_nothing(home: Home) -> None:
    async def work() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(EVERYTHING)
        before = traces(home.home), nft.identify()
        await gateway.apply(EVERYTHING)
        assert (traces(home.home), nft.identify()) == before

    home.home.do(work)


def test_routes_follow_when_the_tunnel_comes_goes_and_comes_back(house: Home) -> None:
    house.apply(CLOSED)
    assert house.observe().routes == frozenset()
    house.add_tunnel()
    house.apply(OPEN)
    assert house.observe().routes == OPEN.routes
    house.home.run(f"ip link set {TUNNEL} down")
    house.apply(OPEN)
    house.home.run(f"ip link set {TUNNEL} up")
    house.apply(OPEN)
    assert house.observe().routes == OPEN.routes


def test_cleaning_up_leaves_the_machine_as_it_was(home: Home) -> None:
    before = traces(home.home)
    home.apply(EVERYTHING)
    assert traces(home.home) != before
    home.clean_up()
    assert traces(home.home) == before
    assert not home.record.exists()
    home.clean_up()
    assert traces(home.home) == before


def test_a_change_that_is_given_up_half_way_leaves_nothing_behind(home: Home) -> None:
    """Cancelled at any moment, it is over before the clean-up begins."""
    before = traces(home.home)

    async def work(moment_s: float) -> None:
        gateway = LinuxGateway(home.record)
        async with asyncio.TaskGroup() as tasks:
            change = tasks.create_task(gateway.apply(EVERYTHING), name="change")
            await asyncio.sleep(moment_s)
            change.cancel()
        await gateway.clean_up()

    for number in range(24):
        home.home.do(lambda number=number: work(number * 0.0015))
        assert traces(home.home) == before


AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from appliance.gateway.linux import LinuxGateway
from tests.netns.gateway.test_housekeeping import EVERYTHING

async def agent():
    await LinuxGateway(Path({record!r})).apply(EVERYTHING)
    print("up", flush=True)
    await asyncio.sleep(60)

asyncio.run(agent())
"""


def test_after_kill_9_the_filter_stays_and_the_next_run_cleans_up(home: Home) -> None:
    before = traces(home.home)
    script = AGENT.format(repository=str(REPOSITORY), record=str(home.record))
    agent = home.home.start([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "up\n"
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    assert home.observe().ruleset
    assert sysctl(home.home, FORWARDING) == "1"
    home.clean_up()
    assert traces(home.home) == before


def test_a_restarted_agent_still_knows_the_settings_from_before(home: Home) -> None:
    before = traces(home.home)
    home.apply(EVERYTHING)
    home.apply(EVERYTHING)
    home.clean_up()
    assert traces(home.home) == before


def test_settings_that_are_needed_no_more_go_back_and_those_of_others_stay(home: Home) -> None:
    home.apply(ROUTER)
    assert (sysctl(home.home, FORWARDING), sysctl(home.home, FORWARDING6)) == ("1", "1")
    home.apply(OPEN)
    assert (sysctl(home.home, FORWARDING), sysctl(home.home, FORWARDING6)) == ("0", "0")
    home.home.run(f"sysctl -qw {FORWARDING}=1")
    home.apply(ROUTER)
    home.clean_up()
    assert sysctl(home.home, FORWARDING) == "1", "it was on before us"


def test_a_record_of_an_earlier_boot_counts_for_nothing(home: Home) -> None:
    record = {"boot_id": "long ago", "changed": {FORWARDING: ["1", "0"]}}
    home.record.write_text(json.dumps(record))
    home.clean_up()
    assert sysctl(home.home, FORWARDING) == "0"


def test_a_forwarding_host_still_hears_its_ipv6_router(home: Home) -> None:
    assert sysctl(home.home, "net.ipv6.conf.wan.accept_ra") == "1"
    home.apply(ROUTER)
    assert sysctl(home.home, "net.ipv6.conf.wan.accept_ra") == "2"
    assert sysctl(home.home, f"net.ipv6.conf.{TUNNEL}.accept_ra") == "1", "the tunnel is no uplink"


def test_what_others_flush_comes_back_at_once(home: Home) -> None:
    async def work() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(replace(OPEN, filter=()))
        async with guarded(gateway):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(home.home.run, "nft flush ruleset")
            await asyncio.to_thread(home.home.run, "ip rule del priority 5170")
            await asyncio.to_thread(home.home.run, f"ip route del {PEER} table 5170")
            async with asyncio.timeout(5):
                while not is_whole(await gateway.observe()):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    home.home.do(work)
    assert home.peer.is_deaf_to(HOME_MESH)


def is_whole(status: GatewayStatus) -> bool:
    return status.ruleset and status.rules == 2 and status.routes == OPEN.routes


def test_a_refused_ruleset_leaves_the_earlier_one_in_force(home: Home) -> None:
    async def work() -> None:
        await LinuxGateway(home.record).apply(OPEN)
        before = nft.identify()
        with pytest.raises(RulesetRefusedError, match="the earlier ones are still in force"):
            await nft.load("table inet latchkey {}\ndelete table inet latchkey\nnonsense\n")
        assert nft.identify() == before

    home.home.do(work)


def test_without_nft_the_error_names_the_package(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = traces(home.home)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NftMissingError, match="install the package nftables"):
        home.apply(ROUTER)
    monkeypatch.undo()
    assert traces(home.home) == before, "nothing is half applied"


def test_without_the_capability_the_error_says_what_to_do(home: Home) -> None:
    before = traces(home.home)
    script = AGENT.format(repository=str(REPOSITORY), record=str(home.record))
    process = home.home.start(
        ["setpriv", "--bounding-set=-net_admin", sys.executable, "-c", script],
        stderr=subprocess.PIPE,
    )
    _, complaint = process.communicate(timeout=20)
    assert NotPermittedError.__name__ in complaint
    assert "run it as root or give it CAP_NET_ADMIN" in complaint
    assert traces(home.home) == before
