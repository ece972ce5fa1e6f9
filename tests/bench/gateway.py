"""Forwarding through a gateway: with a thousand rules beside none, with NAT beside a plain kernel.

    peer ══ tun ══ home ── lan ── printer

The tunnel is a plain cable, so that what WireGuard costs hides nothing. Every comparison
alternates its runs. While the largest filter is replaced again and again, packets that both the
old and the new one allow must all arrive, and none that both forbid.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import parse_filter
from appliance.gateway.generations import Generation
from appliance.gateway.linux import LinuxGateway
from appliance.gateway.ruleset import TABLE, plan_ruleset
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange, PortRange
from tests.bench import flowtable
from tests.bench.mesh import CannotRunError
from tests.bench.quiet import Quiet
from tests.bench.report import Row, Target, publish, row
from tests.support.boxes import PREFIX, Box, fresh_boxes, join, why_no_boxes
from tests.support.rawpackets import UDP, Cable, Ears, ears, packet, udp
from tests.vm.kernel import UnfitMachineError

PAIRS: Final = int(os.environ.get("LATCHKEY_BENCH_PAIRS", "12"))
SECONDS: Final = 1.5
SETTLE_S: Final = 0.3  # the kernel frees the table before in the background
UPDATES: Final = 20
PACKETS_A_SECOND: Final = 1000  # of each kind, while updates run

TUNNEL, PEER, HOME, PRINTER = "tun-bench", "100.64.0.2", "100.64.0.1", "192.168.1.10"
OPEN_PORT, CLOSED_PORT = 80, 81
_LAN: Final = ipaddress.ip_network("192.168.1.0/24")
_INSIDE: Final = "inside"
_SENT: Final = b"bench-"
_SYSCALL: Final = re.compile(r"<(\d+\.\d+)>$", re.MULTILINE)


def allow(source: str, destinations: tuple[tuple[str, int, int], ...]) -> FilterRule:
    """One rule; destinations are address, first and last port."""
    return FilterRule(
        src_ips=(source,),
        dst_ports=tuple(
            NetPortRange(ip=ip, ports=PortRange(first=first, last=last))
            for ip, first, last in destinations
        ),
    )


OPEN: Final = (allow("*", (("*", 0, 65535),)),)
NEEDED: Final = allow(PEER, ((PRINTER, OPEN_PORT, OPEN_PORT), (PRINTER, 5201, 5201)))


def rules(count: int, elements: int, first: int = 0) -> tuple[FilterRule, ...]:
    """Rules of as many sources, with so many addresses and ports in all; ours is the last."""
    each = elements // count
    made = [
        allow(
            str(ipaddress.IPv4Address("100.65.0.0") + number),
            tuple(
                (str(_LAN[20 + (number * each + k) % 200]), port, port)
                for k in range(each)
                if (port := 100 + first + (number * each + k) % 50_000)
            ),
        )
        for number in range(count)
    ]
    return (*made, NEEDED)


CONFIG: Final = GatewayConfig(
    interface=TUNNEL,
    addresses=(ipaddress.ip_interface(f"{HOME}/32"),),
    listen_port=41641,
    fwmark=0x80000,
    routes=frozenset[IPNetwork]({ipaddress.ip_network(f"{PEER}/32")}),
    local_networks=frozenset[IPNetwork]({_LAN}),
    advertised=frozenset[IPNetwork]({_LAN}),
    filter=OPEN,
)


@dataclass
class World:
    """The boxes, the home's gateway, and a place for files."""

    home: Box
    peer: Box
    printer: Box
    directory: Path
    quiet: Quiet

    def apply(self, config: GatewayConfig) -> None:
        """Put a config in force."""
        self._remove_hand_made()
        self.home.do(lambda: LinuxGateway(self.directory / "gateway.json").apply(config))

    def forward_plainly(self) -> None:
        """Take everything of ours away; the kernel forwards by its main table."""
        self._remove_hand_made()
        self.home.do(lambda: LinuxGateway(self.directory / "gateway.json").clean_up())
        self.home.run("sysctl -qw net.ipv4.ip_forward=1")
        self.home.ip(f"route replace {PEER} dev {TUNNEL}")

    def masquerade_by_hand(self) -> None:
        """Forward plainly, and give packets of the LAN this machine's address: no filter, no mark.

        That is what any kernel's connection tracking and NAT cost at least.
        """
        self.forward_plainly()
        file = self.directory / "by-hand.nft"
        file.write_text(
            "table ip by_hand { chain out { type nat hook postrouting priority srcnat; "
            'oifname "lan" masquerade; }; }\n'
        )
        self.home.run(f"nft -f {file}")

    def _remove_hand_made(self) -> None:
        self.home.attempt("nft delete table ip by_hand")

    def throughput(self) -> float:
        """One TCP flow from the peer to the printer, in Mbit/s."""
        command = f"iperf3 --json --client {PRINTER} --time {SECONDS:g}"

        def run() -> float:
            end = json.loads(self.peer.run(command, timeout=SECONDS + 20))["end"]
            return float(end["sum_received"]["bits_per_second"]) / 1e6

        return self.quiet.measure(run)


def main() -> int:
    """Run all of it and publish the rows."""
    reason = why_no_boxes("nft", "iperf3", "ethtool")
    if reason:
        raise CannotRunError(reason)
    with _world() as world:
        made = [*_policies(world), *_nat(world)]
        made += _updates(world)
    try:
        made += flowtable.measure(f"tests.bench.gateway {_INSIDE}")
        notes = [flowtable.NOTE]
    except UnfitMachineError as error:
        notes = [f"the kernel's flow table was not tried: {error}"]
    publish("gateway", made, notes=[world.quiet.note(), *notes])
    return 0 if all(one.met is not False for one in made) else 1


def inside() -> int:
    """Run in the emulated machine what depends on the flow table."""
    with _world(patience_s=0) as world:
        flowtable.hand_over(_nat(world, flowtable.PAIRS, label=flowtable.LABEL))
    return 0


@contextmanager
def _world(patience_s: float = 60) -> Iterator[World]:
    with (
        fresh_boxes("home", "peer", "printer") as (home, peer, printer),
        tempfile.TemporaryDirectory() as directory,
    ):
        join(home, TUNNEL, peer, "tun")
        join(home, "lan", printer, "eth0")
        home.ip(f"addr add {HOME}/32 dev {TUNNEL}", f"addr add {_LAN[1]}/24 dev lan")
        peer.ip(f"addr add {PEER}/32 dev tun", f"route add {HOME} dev tun")
        peer.ip(f"route add default via {HOME} dev tun onlink")
        printer.ip(f"addr add {PRINTER}/24 dev eth0", f"route add default via {_LAN[1]}")
        server = printer.start("iperf3 --server")
        world = World(home, peer, printer, Path(directory), Quiet(patience_s, prefix=PREFIX))
        world.apply(CONFIG)
        for _ in range(100):
            if peer.pings(PRINTER) and server.poll() is None:
                break
        yield world


def _policies(world: World) -> list[Row]:
    """Forwarding under large filters, beside a filter that allows everything."""
    large = {
        "1,000 rules beside one": replace(CONFIG, filter=rules(1000, 1000)),
        "10,000 set elements beside none": replace(CONFIG, filter=rules(1000, 10_000)),
    }
    samples = {name: ([], []) for name in large}  # type: dict[str, tuple[list[float], list[float]]]
    for number in range(PAIRS):
        for name, config in large.items():
            ways = [(samples[name][0], config), (samples[name][1], CONFIG)]
            for into, chosen in ways if number % 2 else reversed(ways):
                world.apply(chosen)
                time.sleep(SETTLE_S)
                into.append(world.throughput())
    return [
        row(
            f"forwarding with {name}",
            "Mbit/s",
            ours,
            plain,
            target=Target(ratio_at_least=0.97),
            paired=True,
        )
        for name, (ours, plain) in samples.items()
    ]


_NAT_TARGET: Final = Target(ratio_at_least=0.95)


def _nat(world: World, pairs: int = PAIRS, *, label: str = "") -> list[Row]:
    """Filter and NAT beside a plain kernel, and what of that any NAT costs."""
    made = _compared(world, f"{label}TCP, large segments", pairs, _NAT_TARGET)
    for box, device in ((world.peer, "tun"), (world.printer, "eth0")):
        box.run(f"ethtool -K {device} tso off gso off gro off")
    for device in (TUNNEL, "lan"):
        world.home.run(f"ethtool -K {device} tso off gso off gro off")
    return made + _compared(world, f"{label}every packet alone", pairs, None)


def _compared(world: World, what: str, pairs: int, target: Target | None) -> list[Row]:
    ours: list[float] = []
    plain: list[float] = []
    by_hand: list[float] = []
    ways: list[tuple[list[float], Callable[[], None]]] = [
        (ours, lambda: world.apply(CONFIG)),
        (plain, world.forward_plainly),
        (by_hand, world.masquerade_by_hand),
    ]
    for number in range(pairs):
        for into, prepare in ways if number % 2 else reversed(ways):
            prepare()
            time.sleep(SETTLE_S)
            into.append(world.throughput())
    return [
        _row(f"forwarding with filter and NAT beside a plain kernel, {what}", ours, plain, target),
        _row(f"a masquerade by hand beside a plain kernel, {what}", by_hand, plain),
        _row(f"filter and NAT beside a masquerade by hand, {what}", ours, by_hand),
    ]


def _row(what: str, ours: list[float], peer: list[float], target: Target | None = None) -> Row:
    return row(what, "Mbit/s", ours, peer, target=target, paired=True)


def _updates(world: World) -> list[Row]:
    configs = [replace(CONFIG, filter=rules(1000, 10_000, first)) for first in (0, 7)]
    plans = [plan_ruleset(one, parse_filter(one.filter or ()).allows) for one in configs]
    generation = Generation.first(TABLE, plans[0])
    _commits_ms(world, generation.render_whole())
    commits: list[float] = []
    with _stream(world) as counts:
        for number in range(1, UPDATES + 1):
            before, generation = generation, generation.successor(plans[number % 2])
            steps = (generation.render_preparation(), generation.render_switch(before))
            commits.append(sum(_commits_ms(world, step) for step in steps))
    sent, arrived, strays = counts
    lost = f"packets lost of {sent} allowed ones, each a new connection"
    return [
        row("commit of 10,000 changed elements", "ms", commits, target=Target(at_most=50)),
        row(f"{lost}, during {UPDATES} updates", "", [sent - arrived], target=Target(at_most=0)),
        row(f"of {sent} forbidden packets, passed", "", [strays], target=Target(at_most=0)),
    ]


def _commits_ms(world: World, text: str) -> float:
    """How long the kernel takes; without strace, how long nft takes altogether."""
    file = world.directory / "update.nft"
    file.write_text(text)
    if shutil.which("strace") is None:
        began = time.monotonic()
        world.home.run(f"nft -f {file}")
        return (time.monotonic() - began) * 1e3
    trace = world.directory / "trace"
    world.home.run(f"strace -T -e trace=sendmsg -o {trace} nft -f {file}")
    return max(float(found) for found in _SYSCALL.findall(trace.read_text())) * 1e3


@contextmanager
def _stream(world: World) -> Iterator[list[int]]:
    """Send while the block runs; afterwards: sent, arrived, and arrived though forbidden."""
    with world.peer.inside():
        cable = Cable("tun", _hardware(world.home, TUNNEL), _hardware(world.peer, "tun"))
    over = threading.Event()
    counts: list[int] = []
    with ears(world.printer, [UDP]) as ear:
        sender = threading.Thread(target=_send, args=(cable, over, counts))
        sender.start()
        heard: dict[int, set[int]] = {OPEN_PORT: set(), CLOSED_PORT: set()}
        listener = threading.Thread(target=_listen, args=(ear, over, heard))
        listener.start()
        try:
            time.sleep(0.2)
            yield counts
            time.sleep(0.2)
        finally:
            over.set()
            sender.join()
            listener.join()
            cable.close()
    counts += [len(heard[OPEN_PORT]), len(heard[CLOSED_PORT])]


def _send(cable: Cable, over: threading.Event, counts: list[int]) -> None:
    number = 0
    while not over.wait(1 / PACKETS_A_SECOND):
        for port in (OPEN_PORT, CLOSED_PORT):
            ports = (1024 + number % 60_000, port)
            data = udp(PEER, PRINTER, ports, _SENT + b"%08d" % number)
            cable.send(packet(PEER, PRINTER, UDP, data))
        number += 1
    counts.append(number)


def _listen(ear: Ears, over: threading.Event, heard: dict[int, set[int]]) -> None:
    last_look = False
    while True:
        for data in ear.heard(0.1):
            start = data.find(_SENT)
            if start >= 0:
                port = int.from_bytes(data[start - 6 : start - 4], "big")
                heard[port].add(int(data[start + len(_SENT) :][:8]))
        if last_look:
            return
        last_look = over.is_set()


def _hardware(box: Box, device: str) -> str:
    shown = box.run(f"ip -o link show dev {device}").split()
    return shown[shown.index("link/ether") + 1]


if __name__ == "__main__":
    try:
        sys.exit(inside() if sys.argv[1:] == [_INSIDE] else main())
    except (CannotRunError, subprocess.SubprocessError) as error:
        sys.exit(f"gateway: {error}")
