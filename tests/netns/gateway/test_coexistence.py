"""Other firewalls on the gateway's host keep working, and let pass what our filter admits.

Each test is one neighbour's life: alone, with our gateway beside it, after it loaded its rules
anew, and after we left.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.gateway.config import GatewayConfig
from appliance.gateway.linux import LinuxGateway
from appliance.gateway.profile import Setting, State
from tests.netns.gateway import neighbours
from tests.netns.gateway.conftest import (
    CLOSED,
    EXIT,
    HOME_MESH,
    HOME_MESH6,
    HOME_WAN,
    HOME_WAN6,
    LAN,
    LAN6,
    PEER,
    PORT,
    PRINTER,
    PRINTER6,
    WEB,
    WEB6,
    Home,
    allow,
    guarded,
    networks,
)
from tests.netns.gateway.neighbours import CONTAINER, PUBLISHED, SERVICE
from tests.netns.lab.programs import PATIENCE
from tests.support.boxes import QUICK_S, Box, fresh_boxes
from tests.support.boxtalk import is_blocked, seen_from, tcp_server
from tests.support.snapshot import difference, snapshot
from tests.support.trees import Tenant, require_tree, tenant

pytestmark = pytest.mark.netns

CONFIG = replace(EXIT, advertised=networks(LAN, LAN6), local_networks=networks(LAN, LAN6))
"""Both jobs at once: the peer may reach the LAN, this machine and the internet."""
CLOSED_PORT = 2222


def needs(*tools: str) -> pytest.MarkDecorator:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@contextmanager
def services(home: Home) -> Iterator[None]:
    """Everything that somebody may want to reach."""
    with ExitStack() as stack:
        for box, address, port in (
            (home.home, "0.0.0.0", SERVICE),
            (home.home, "0.0.0.0", CLOSED_PORT),
            (home.home, "::", 80),
            (home.printer, PRINTER, 80),
            (home.printer, PRINTER6, 80),
            (home.web, WEB, 80),
            (home.web, WEB6, 80),
        ):
            stack.enter_context(tcp_server(box, address, port))
        yield


def hears_wireguard(home: Home, address: str) -> bool:
    """Whether a datagram from outside comes in at WireGuard's port."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with home.home.inside():
        listener = socket.socket(family, socket.SOCK_DGRAM)
    with listener, home.web.inside(), socket.socket(family, socket.SOCK_DGRAM) as sender:
        listener.bind((address, PORT))
        listener.settimeout(QUICK_S)
        sender.sendto(b"handshake", (address, PORT))
        try:
            return listener.recv(100) == b"handshake"
        except TimeoutError:
            return False


def assert_the_mesh_works(home: Home) -> None:
    for address in (HOME_MESH, HOME_MESH6, PRINTER, PRINTER6, WEB, WEB6):
        assert seen_from(home.peer, address, 80 if address != HOME_MESH else SERVICE), address
    assert hears_wireguard(home, HOME_WAN)
    assert hears_wireguard(home, HOME_WAN6)


def assert_the_neighbour_still_guards(home: Home) -> None:
    """Its owner's service is open to the world, what they closed is closed."""
    assert seen_from(home.web, HOME_WAN, SERVICE)
    assert is_blocked(home.web, HOME_WAN, CLOSED_PORT)
    home.web.ip(f"route replace {LAN} via {HOME_WAN}")
    assert is_blocked(home.web, PRINTER, 80), "nobody from outside gets into the LAN"


class Life:
    """A gateway that is applied, guarded, observed and cleaned up in one event loop."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.gateway = LinuxGateway(home.record)

    @asynccontextmanager
    async def guarded(self, config: GatewayConfig = CONFIG) -> AsyncIterator[None]:
        await self.gateway.apply(config)
        async with guarded(self.gateway):
            yield

    async def until_open(self) -> None:
        """Wait until the guard has put back what a neighbour's reload took."""
        async with asyncio.timeout(10):
            while not all(one.is_fine for one in await self.firewalls()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def firewalls(self) -> list[Setting]:
        return [one for one in await self.gateway.profile() if one.wanted.startswith("lets pass")]


def live(
    home: Home,
    reload: Callable[[], object],
    check: Callable[[], None],
    config: GatewayConfig = CONFIG,
) -> list[Setting]:
    """Gateway up, check, neighbour reloads, check, gateway gone; what the profile said.

    What is cleaned up is what an agent left that was killed: nobody tells the next one.
    """

    async def work() -> list[Setting]:
        life = Life(home)
        async with life.guarded(config):
            await asyncio.to_thread(check)
            found = await life.firewalls()
            await asyncio.to_thread(reload)
            await life.until_open()
            await asyncio.to_thread(check)
        # A new agent after a killed one knows no more than the machine and the records.
        for _ in range(2):
            await LinuxGateway(home.record).clean_up()
        return found

    return home.home.do(work)


@pytest.fixture
def container(home: Home) -> Iterator[Box]:
    """A box on Docker's bridge with a web server."""
    with fresh_boxes("container") as (box,):
        neighbours.plug_in_container(home.home, box)
        with tcp_server(box, CONTAINER, 80):
            yield box


def docker_26_restarts(home: Box) -> None:
    neighbours.docker_stops(home)
    docker_26(home)


def docker_26(home: Box) -> None:
    neighbours.docker_starts(home)
    neighbours.docker_guards_ipv6(home)
    neighbours.docker_publishes(home)


def docker_28(home: Box) -> None:
    neighbours.docker_28_starts(home)
    neighbours.docker_guards_ipv6(home)
    neighbours.docker_28_publishes(home)


@needs("iptables-nft", "ip6tables-nft")
@pytest.mark.parametrize(
    ("start", "restart"),
    [(docker_26, docker_26_restarts), (docker_28, docker_28)],
    ids=["docker-26", "docker-28"],
)
def test_docker(
    home: Home, container: Box, start: Callable[[Box], None], restart: Callable[[Box], None]
) -> None:
    def check() -> None:
        assert_the_mesh_works(home)
        assert seen_from(home.web, HOME_WAN, PUBLISHED), "published to the world"
        assert seen_from(home.printer, "192.168.1.1", PUBLISHED), "published to the LAN"
        assert seen_from(home.peer, HOME_MESH, PUBLISHED) == PEER, "published to the mesh"
        assert container.pings(WEB), "the container has the internet"
        home.web.ip(f"route replace {LAN} via {HOME_WAN}")
        assert is_blocked(home.web, PRINTER, 80), "nobody from outside gets into the LAN"

    start(home.home)
    neighbours.docker_puts_its_users_first(home.home)
    before = snapshot(home.home.run)
    with services(home):
        assert seen_from(home.web, HOME_WAN, PUBLISHED)
        found = live(home, lambda: restart(home.home), check)
        assert {(one.name, one.state) for one in found} == {
            ("Docker (ip filter DOCKER-USER)", State.REPAIRED),
            ("Docker (ip6 filter DOCKER-USER)", State.REPAIRED),
        }
        assert difference(before, snapshot(home.home.run)) == ""
        assert seen_from(home.web, HOME_WAN, PUBLISHED)


def test_dockerd_itself(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        assert_the_mesh_works(home)
        assert seen_from(home.web, HOME_WAN, PUBLISHED), "published to the world"
        assert seen_from(home.peer, HOME_MESH, PUBLISHED) == PEER, "published to the mesh"
        assert container.pings(WEB), "the container has the internet"

    def restart() -> None:
        neighbours.dockerd_stops(system)
        neighbours.dockerd_starts(system)
        neighbours.docker_28_publishes(home.home)

    with borrowed("trixie-docker", home, tmp_path, monkeypatch) as system:
        neighbours.dockerd_starts(system)
        with fresh_boxes("container") as (container,), tcp_server(container, "0.0.0.0", 80):
            neighbours.plug_into_bridge(home.home, container)
            restart()  # makes its chains in another order than the first time
            before = snapshot(home.home.run)
            with services(home):
                found = live(home, restart, check)
            assert [one.name for one in found] == ["Docker (ip filter DOCKER-USER)"]
            assert difference(before, snapshot(home.home.run)) == ""


@needs("iptables-nft", "ip6tables-nft")
def test_the_policy_decides_who_reaches_a_published_port(home: Home, container: Box) -> None:
    neighbours.docker_starts(home.home)
    neighbours.docker_publishes(home.home)
    only_published = replace(CLOSED, filter=(allow(PEER, HOME_MESH, PUBLISHED),))
    with services(home):
        home.apply(only_published)
        assert seen_from(home.peer, HOME_MESH, PUBLISHED) == PEER
        assert is_blocked(home.peer, HOME_MESH, SERVICE)
        assert is_blocked(home.peer, CONTAINER, 80), "the container itself is not in the mesh"
        home.apply(replace(CLOSED, filter=(allow(PEER, HOME_MESH, SERVICE),)))
        assert is_blocked(home.peer, HOME_MESH, PUBLISHED)
        assert is_blocked(home.peer, HOME_MESH, 80), "nor is what it is inside"
        assert seen_from(home.peer, HOME_MESH, SERVICE) == PEER
        home.apply(only_published)
        home.apply(replace(CLOSED, filter=()))
        assert is_blocked(home.peer, HOME_MESH, PUBLISHED)


@needs("iptables-nft", "ip6tables-nft")
def test_docker_that_starts_after_us_keeps_its_internet_when_we_leave(home: Home) -> None:
    async def work() -> None:
        life = Life(home)
        async with life.guarded():
            await asyncio.to_thread(start)
            await asyncio.sleep(0)
            await life.until_open()
        await life.gateway.clean_up()

    with fresh_boxes("container") as (container,):

        def start() -> None:
            neighbours.plug_in_container(home.home, container)
            neighbours.docker_starts(home.home)

        home.home.do(work)
        assert home.home.run("sysctl -n net.ipv4.ip_forward").strip() == "1"
        assert container.pings(WEB)


@contextmanager
def borrowed(
    tree: str, home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tenant]:
    """Debian's own programs in the home's network, lent to the gateway."""
    if PATIENCE > 2:
        pytest.skip("other firewalls take too long on an emulated processor")
    with tenant(home.home, require_tree(tree), folder) as system:
        for family in ("ip", "ip6"):
            system.lend(f"{family}tables-nft", f"{family}tables-nft-restore")
        system.lend("firewall-cmd")
        monkeypatch.setenv("PATH", str(system.programs), prepend=":")
        yield system


@pytest.fixture(params=["trixie", "bookworm"])
def system(
    request: pytest.FixtureRequest, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tenant]:
    """Debian with ufw and firewalld."""
    with borrowed(f"{request.param}-firewalls", home, tmp_path, monkeypatch) as system:
        yield system


def check_both(home: Home) -> Callable[[], None]:
    def check() -> None:
        assert_the_mesh_works(home)
        assert_the_neighbour_still_guards(home)

    return check


def test_ufw(home: Home, system: Tenant) -> None:
    neighbours.ufw_starts(system)
    before, listing = snapshot(home.home.run), system.run("ufw status verbose")
    with services(home):
        assert_the_neighbour_still_guards(home)
        found = live(home, lambda: system.run("ufw reload"), check_both(home))
        assert {(one.name, one.state) for one in found} == {
            (f"ufw ({family} filter {chain})", State.REPAIRED)
            for family in ("ip", "ip6")
            for chain in ("INPUT", "FORWARD")
        }
        assert_the_neighbour_still_guards(home)
    assert difference(before, snapshot(home.home.run)) == ""
    assert system.run("ufw status verbose") == listing


@pytest.mark.parametrize("system", ["trixie"], indirect=True)
def test_docker_and_ufw_on_one_host(home: Home, system: Tenant, container: Box) -> None:
    def reload() -> None:
        system.run("ufw reload")
        neighbours.docker_puts_its_users_first(home.home)

    def check() -> None:
        assert_the_mesh_works(home)
        assert_the_neighbour_still_guards(home)
        assert seen_from(home.peer, HOME_MESH, PUBLISHED) == PEER
        assert seen_from(home.web, HOME_WAN, PUBLISHED)

    docker_28(home.home)
    neighbours.ufw_starts(system)
    neighbours.docker_puts_its_users_first(home.home)
    before = snapshot(home.home.run)
    with services(home):
        found = live(home, reload, check)
    assert [one.name.split(" ")[0] for one in found].count("Docker") == 2
    assert difference(before, snapshot(home.home.run)) == ""


def test_firewalld(home: Home, system: Tenant) -> None:
    neighbours.firewalld_starts(system)
    before, listing = snapshot(home.home.run), system.run("firewall-cmd --list-all-zones")
    with services(home):
        assert_the_neighbour_still_guards(home)
        found = live(home, lambda: system.run("firewall-cmd --reload"), check_both(home))
        assert [(one.name, one.state) for one in found] == [("firewalld", State.REPAIRED)]
        assert_the_neighbour_still_guards(home)
    assert system.run("firewall-cmd --list-all-zones") == listing
    # A zone that was used once keeps its empty chains until firewalld loads its rules anew.
    system.run("firewall-cmd --reload")
    assert difference(before, snapshot(home.home.run)) == ""


def test_firewalld_that_starts_after_us_is_opened_when_it_can_be_asked(
    home: Home, system: Tenant
) -> None:
    async def work() -> None:
        life = Life(home)
        async with life.guarded():
            await asyncio.to_thread(neighbours.firewalld_starts, system)
            await life.until_open()
            await asyncio.to_thread(check_both(home))

    with services(home):
        home.home.do(work)
        system.run("firewall-cmd --reload")
        home.clean_up()
        assert "41641" not in system.run("firewall-cmd --list-all-zones")


@needs("iptables-legacy", "ip6tables-legacy")
@pytest.mark.skipif(
    not Path("/proc/self/net/ip_tables_names").exists(), reason="this kernel has no legacy tables"
)
def test_legacy_iptables(home: Home) -> None:
    def listing() -> str:
        return home.home.run("iptables-legacy -S") + home.home.run("ip6tables-legacy -S")

    def load() -> None:
        for program in ("iptables-legacy", "ip6tables-legacy"):
            for chain in ("INPUT", "FORWARD"):
                home.home.run(f"{program} -F {chain}")
                home.home.run(f"{program} -P {chain} DROP")
                home.home.run(
                    f"{program} -A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
                )
            home.home.run(f"{program} -A INPUT -p tcp --dport {SERVICE} -j ACCEPT")
            icmp = "icmp" if program == "iptables-legacy" else "icmpv6"
            home.home.run(f"{program} -A INPUT -p {icmp} -j ACCEPT")

    async def work() -> None:
        gateway = LinuxGateway(home.record)
        await gateway.apply(CONFIG)
        await asyncio.to_thread(check_both(home))
        assert "latchkey: admitted" in await asyncio.to_thread(listing)
        await asyncio.to_thread(load)
        await gateway.apply(CONFIG)
        await asyncio.to_thread(check_both(home))
        for _ in range(2):
            await LinuxGateway(home.record).clean_up()

    load()
    before = listing()
    with services(home):
        assert_the_neighbour_still_guards(home)
        home.home.do(work)
    assert listing() == before


def test_an_owners_own_nftables(home: Home) -> None:
    rules = f"""
        table inet filter {{
            chain input {{
                type filter hook input priority filter; policy drop;
                ct state established,related accept
                iif lo accept
                meta l4proto {{ icmp, icmpv6 }} accept
                tcp dport {SERVICE} accept
            }}
            chain forward {{
                type filter hook forward priority filter; policy accept;
                ct state established,related accept
                counter reject with icmpx admin-prohibited
            }}
        }}
    """
    path = home.record.with_name("nftables.conf")
    path.write_text(f"table inet filter\ndelete table inet filter\n{rules}")

    def load() -> None:
        home.home.run(f"nft -f {path}")

    load()
    before = snapshot(home.home.run)
    with services(home):
        assert_the_neighbour_still_guards(home)
        found = live(home, load, check_both(home))
        assert {one.name for one in found} == {
            "nftables (inet filter input)",
            "nftables (inet filter forward)",
        }
    assert difference(before, snapshot(home.home.run)) == ""
