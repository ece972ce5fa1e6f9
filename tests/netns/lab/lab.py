"""Lab: declares machines, builds them as namespaces, and takes all of it away again.

with Lab("example") as lab:
    isp = lab.public("isp", "198.51.100.0/24")
    home = lab.lan("home", "192.168.1.0/24")
    router = lab.router("router", outside=isp, number=2, inside=home)
    printer = home.host("printer", 20)
    lab.build()
    printer.run(["ping", ...])
"""

from __future__ import annotations

import ipaddress
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from tests.netns.lab import namespaces
from tests.netns.lab.host import Host, Router
from tests.netns.lab.nat import PORT_RESTRICTED, Nat, render_router
from tests.netns.lab.programs import wait_until
from tests.netns.lab.topology import (
    GATEWAY_NUMBER,
    INTERNET,
    Interface,
    Link,
    MachinePlan,
    Plan,
    Route,
    SegmentPlan,
    gateways,
)

H = TypeVar("H", bound=Host)

REPOSITORY: Final = Path(__file__).resolve().parents[3]
LABS: Final = REPOSITORY / "build" / "lab"
_PORTS_TIMEOUT_S: Final = 10.0  # microseconds, or seconds while old namespaces are deleted
_BUILDERS: Final = 8  # `ip` and `nft` mostly wait for the kernel's rtnl lock: more gain nothing

# No address detection delays, no autoconfiguration, and nothing that depends on this machine.
_QUIET: Final = {
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.all.accept_ra": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.default.rp_filter": "0",
}
_FORWARDING: Final = {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"}
_NO_IPV6: Final = {"net.ipv6.conf.all.disable_ipv6": "1", "net.ipv6.conf.default.disable_ipv6": "1"}


class Segment:
    """One Ethernet of the lab; machines are plugged in before the lab is built."""

    def __init__(self, lab: Lab, plan: SegmentPlan) -> None:
        self.lab = lab
        self.plan = plan

    @property
    def subnets(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The subnets on this Ethernet."""
        return self.plan.subnets

    def host(self, name: str, number: int, *, interface: str = "eth0") -> Host:
        """A machine with this number in every subnet, and number 1 as its default gateway."""
        addresses = self.plan.at(number)
        plan = MachinePlan(name, [Link(interface, self.plan.name, addresses)], gateways(addresses))
        return self.lab.add(Host(self.lab.name_of(name), plan, self.lab.directory))

    def wire(self) -> Host:
        """The Ethernet's own end, once it is built: its ports have the names of the machines.

        What is recorded there was on the cable, also while the machine's interface is down.
        """
        plan = MachinePlan(self.plan.name)
        host = Host(self.lab.name_of(plan.name), plan, self.lab.directory)
        (host.directory / "wireguard").mkdir(parents=True, exist_ok=True)
        return host

    def join(self, host: Host, number: int, *, interface: str = "eth1") -> None:
        """Plug one more interface of a machine into this segment, without another gateway."""
        host.plan.links.append(Link(interface, self.plan.name, self.plan.at(number)))


class Lab:
    """A small internet made of network namespaces, all named `lk-<name>-...`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.prefix = f"{namespaces.PREFIX}{name}-"
        self.directory = LABS / name
        self._plan = Plan()
        self._internet = MachinePlan(INTERNET, sysctls=dict(_FORWARDING))
        self._hosts: dict[str, Host] = {}

    def __enter__(self) -> Self:
        self.clean()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clean()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    @property
    def hosts(self) -> list[Host]:
        """All machines in the order in which they were declared."""
        return list(self._hosts.values())

    def name_of(self, name: str) -> str:
        """The namespace of the machine or segment with this name."""
        return self.prefix + name

    def public(self, name: str, *subnets: str) -> Segment:
        """A public range: its .1 is the internet, which routes to all other ranges."""
        segment = self.lan(name, *subnets)
        if INTERNET not in self._hosts:
            self.add(Host(self.name_of(INTERNET), self._internet, self.directory))
        self._internet.links.append(Link(name, name, segment.plan.at(GATEWAY_NUMBER)))
        return segment

    def lan(self, name: str, *subnets: str) -> Segment:
        """A private Ethernet with these subnets."""
        plan = SegmentPlan(name, tuple(ipaddress.ip_network(subnet) for subnet in subnets))
        self._plan.add_segment(plan)
        return Segment(self, plan)

    def router(
        self,
        name: str,
        *,
        outside: Segment,
        number: int,
        inside: Segment,
        nat: Nat | None = PORT_RESTRICTED,
        nat6: bool = False,
    ) -> Router:
        """The inside segment's gateway, number `number` outside; stateful firewall, and NAT."""
        out, home = outside.plan.at(number), inside.plan.at(GATEWAY_NUMBER)
        links = [Link("wan", outside.plan.name, out), Link("lan", inside.plan.name, home)]
        rules = render_router(nat, nat6=nat6, outside="wan", inside="lan")
        plan = MachinePlan(name, links, gateways(out), dict(_FORWARDING), rules)
        self._internet.routes += _untranslated(out, home, nat, nat6=nat6)
        return self.add(Router(self.name_of(name), plan, self.directory))

    def add(self, host: H) -> H:
        """Take a machine into the plan."""
        self._plan.add_machine(host.plan)
        self._hosts[host.plan.name] = host
        return host

    def build(self) -> None:
        """Make the namespaces, cables, addresses, routes and rules."""
        shutil.rmtree(self.directory, ignore_errors=True)
        namespaces.WIREGUARD_SOCKETS.mkdir(mode=0o700, exist_ok=True)
        machines, segments = self._plan.machines.values(), self._plan.segments.values()
        names = [self.name_of(name) for name in (*self._plan.machines, *self._plan.segments)]
        namespaces.tool(["ip", "-batch", "-"], "".join(f"netns add {name}\n" for name in names))
        with ThreadPoolExecutor(_BUILDERS) as pool:
            list(pool.map(lambda name: namespaces.write_sysctls(name, _QUIET), names))
            list(pool.map(self._build_segment, segments))
            list(pool.map(self._build_machine, machines))
            list(pool.map(self._wait_for_ports, segments))

    def find(self, segment: str) -> Segment:
        """The segment with this name."""
        return Segment(self, self._plan.segments[segment])

    def clean(self) -> None:
        """Kill and delete everything of this lab, also what an earlier run left."""
        namespaces.clean(self.prefix)
        for host in self.hosts:
            while host.programs:
                host.programs.pop().stop()  # it is dead: this only collects its exit status

    def _build_segment(self, segment: SegmentPlan) -> None:
        name = self.name_of(segment.name)
        namespaces.write_sysctls(name, _NO_IPV6)
        batch = self._plan.render_segment(segment, self.prefix)
        namespaces.tool(["ip", "-n", name, "-batch", "-"], batch)

    def _wait_for_ports(self, segment: SegmentPlan) -> None:
        """A port of a bridge drops everything until the kernel has seen its carrier."""
        look = ["bridge", "-n", self.name_of(segment.name), "link"]
        wait_until(
            lambda: "state disabled" not in namespaces.tool(look),
            _PORTS_TIMEOUT_S,
            f"the ports of {segment.name} are up",
        )

    def _build_machine(self, machine: MachinePlan) -> None:
        name = self.name_of(machine.name)
        (self.directory / machine.name / "wireguard").mkdir(parents=True, exist_ok=True)
        etc = namespaces.ETC_NETNS / name
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "hosts").write_text(self._plan.hosts_file(), encoding="ascii")
        (etc / "resolv.conf").write_text("# this network has no name server\n", encoding="ascii")
        namespaces.tool(["ip", "-n", name, "-batch", "-"], self._plan.render_machine(machine))
        if machine.sysctls:
            namespaces.write_sysctls(name, machine.sysctls)
        if machine.rules:
            namespaces.tool(["ip", "netns", "exec", name, "nft", "-f", "-"], machine.rules)


def _untranslated(
    out: tuple[Interface, ...], home: tuple[Interface, ...], nat: Nat | None, *, nat6: bool
) -> list[Route]:
    """Routes that the internet needs for inside networks which keep their addresses."""
    gateway = {address.version: address.ip for address in out}
    kept = [a for a in home if not (nat is not None if a.version == 4 else nat6)]
    return [Route(a.network, gateway[a.version]) for a in kept if a.version in gateway]
