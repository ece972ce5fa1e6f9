"""The host profile on a real kernel: set for the role, kept, told, undone; a refusal is said."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.gateway.linux import LinuxGateway
from appliance.gateway.profile import FORWARD_V4, FORWARD_V6, Setting, State
from appliance.host.ethtool import GRO_LIST, UDP_GRO_FORWARDING, Ethtool
from tests.netns.gateway.conftest import (
    CLOSED,
    LAN,
    LAN6,
    OPEN,
    ROUTER,
    TUNNEL,
    Home,
    guarded,
    networks,
)
from tests.netns.gateway.test_housekeeping import AGENT, EVERYTHING
from tests.support.boxes import REPOSITORY, Box
from tests.support.snapshot import difference, snapshot

pytestmark = pytest.mark.netns

ACCEPT_RA = "net.ipv6.conf.wan.accept_ra"
REVERSE_PATH = "net.ipv4.conf.wan.rp_filter"


def sysctl(box: Box, name: str) -> str:
    return box.run(f"sysctl -n {name}").strip()


def features(box: Box, device: str) -> frozenset[str]:
    with box.inside(), Ethtool() as ethtool:
        return ethtool.active_features(device) & {GRO_LIST, UDP_GRO_FORWARDING}


def set_feature(box: Box, device: str, name: str, *, on: bool) -> None:
    with box.inside(), Ethtool() as ethtool:
        ethtool.set_features(device, {name: on})


def profile(home: Home, config: GatewayConfig) -> dict[str, Setting]:
    """What a gateway that applied a config says of its host."""

    async def work() -> dict[str, Setting]:
        gateway = LinuxGateway(home.record)
        await gateway.apply(config)
        return {one.name: one for one in await gateway.profile()}

    return home.home.do(work)


def while_guarded(home: Home, config: GatewayConfig, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(config)
        async with guarded(gateway):
            await asyncio.sleep(0.05)
            async with asyncio.timeout(10):
                await work()

    home.home.do(run)


async def until(is_so: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(is_so):  # noqa: ASYNC110
        await asyncio.sleep(0.02)


def test_everything_a_router_needs_is_set_told_and_undone(home: Home) -> None:
    home.home.run(f"sysctl -qw {REVERSE_PATH}=1")
    set_feature(home.home, "wan", GRO_LIST, on=True)
    before = snapshot(home.home.run)
    found = profile(home, ROUTER)
    assert [one.name for one in found.values() if not one.is_fine] == []
    ours = {name for name, one in found.items() if one.state is State.REPAIRED}
    assert ours >= {FORWARD_V4, FORWARD_V6, ACCEPT_RA, REVERSE_PATH, f"ethtool wan {GRO_LIST}"}
    assert sysctl(home.home, REVERSE_PATH) == "2"
    assert features(home.home, "wan") == {UDP_GRO_FORWARDING}
    home.clean_up()
    assert difference(before, snapshot(home.home.run)) == ""


def test_a_node_that_serves_nobody_changes_no_kernel_setting(home: Home) -> None:
    before = snapshot(home.home.run, without=("ruleset", "rules", "routes"))
    home.apply(OPEN)
    assert difference(before, snapshot(home.home.run, without=("ruleset", "rules", "routes"))) == ""


def test_after_kill_9_every_setting_goes_back(home: Home) -> None:
    set_feature(home.home, "wan", GRO_LIST, on=True)
    home.home.run("sysctl -qw net.ipv4.conf.all.accept_redirects=1")
    before = snapshot(home.home.run)
    script = AGENT.format(repository=str(REPOSITORY), record=str(home.record))
    agent = home.home.start([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    assert agent.stdout.readline() == "up\n"
    agent.send_signal(signal.SIGKILL)
    agent.wait()
    assert sysctl(home.home, FORWARD_V4) == "1"
    home.clean_up()
    assert difference(before, snapshot(home.home.run)) == ""


@pytest.mark.parametrize("name", [FORWARD_V4, FORWARD_V6, "net.ipv4.conf.wan.forwarding"])
def test_forwarding_that_somebody_switches_off_is_on_again_at_once(home: Home, name: str) -> None:
    async def work() -> None:
        await asyncio.to_thread(home.home.run, f"sysctl -qw {name}=0")
        await until(lambda: sysctl(home.home, name) == "1")

    while_guarded(home, ROUTER, work)


def test_a_cable_that_is_plugged_in_later_is_set_up_as_well(home: Home) -> None:
    async def work() -> None:
        await asyncio.to_thread(plug_in)
        await until(lambda: UDP_GRO_FORWARDING in features(home.home, "wan2"))
        await until(lambda: sysctl(home.home, "net.ipv6.conf.wan2.accept_ra") == "2")

    def plug_in() -> None:
        home.home.ip(
            "link add wan2 type veth peer name elsewhere",
            "link set wan2 up",
            "route add default dev wan2 metric 500",
            "route add 2000::/3 dev wan2 metric 500",
        )

    while_guarded(home, ROUTER, work)


def test_a_feature_that_somebody_changes_is_put_back(home: Home) -> None:
    async def work() -> None:
        set_feature(home.home, "wan", GRO_LIST, on=True)
        await until(lambda: GRO_LIST not in features(home.home, "wan"))

    while_guarded(home, ROUTER, work)


READ_ONLY = """
mount -o bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"
"""

CONFINED_AGENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from appliance.gateway.linux import LinuxGateway
from tests.netns.gateway.conftest import ROUTER

async def agent():
    gateway = LinuxGateway(Path({record!r}))
    await gateway.apply(ROUTER)
    for one in await gateway.profile():
        print(one.state.name, one.essential, one.name, one.fix, sep="|")
    await gateway.clean_up()

asyncio.run(agent())
"""


def test_settings_refused_as_in_a_container_are_said_and_the_rest_goes_on(home: Home) -> None:
    script = CONFINED_AGENT.format(repository=str(REPOSITORY), record=str(home.record))
    confined = ["unshare", "--mount", "sh", "-c", READ_ONLY, "sh", sys.executable, "-c", script]
    agent = home.home.start(confined, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said, complaint = agent.communicate(timeout=20)
    assert agent.returncode == 0, complaint
    rows = {row[2]: row for row in (line.split("|") for line in said.splitlines())}
    state, essential, _, fix = rows[FORWARD_V4]
    assert (state, essential) == ("REFUSED", "True")
    assert "cannot be set to 1 (Read-only file system)" in fix
    assert "Nothing is forwarded until it is 1: run `sysctl -w net.ipv4.ip_forward=1`" in fix
    assert rows[f"ethtool wan {UDP_GRO_FORWARDING}"][0] == "REPAIRED", "the rest went on"
    assert "The rest goes on without it." in complaint


def test_an_uplink_too_narrow_for_the_tunnel_is_said(home: Home) -> None:
    home.home.ip("link set wan mtu 1300")
    narrow = profile(home, replace(OPEN, advertised=networks(LAN, LAN6)))["MTU of wan"]
    assert (narrow.state, narrow.present, narrow.wanted) == (State.WRONG, "1300", "1360 or more")


def test_before_the_first_config_there_is_no_profile(home: Home) -> None:
    assert home.home.do(lambda: LinuxGateway(home.record).profile()) == ()
    assert f"MTU of {TUNNEL}" in profile(home, CLOSED)


def test_exit_use_and_service_together_leave_nothing(home: Home) -> None:
    before = snapshot(home.home.run)
    home.apply(EVERYTHING)
    home.apply(OPEN)
    home.clean_up()
    assert difference(before, snapshot(home.home.run)) == ""
