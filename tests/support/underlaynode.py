"""A node without a coordinator: WireGuard device and underlay, driven over stdin and stdout.

Runs as a program of its own inside a network namespace. Each line on stdin is a command in JSON,
each line on stdout an answer or a status in JSON.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.discover import find_wireguard_go
from appliance.dataplane.uapi import UapiDataplane
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPrivate, NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpMap
from appliance.underlay.config import (
    Direct,
    PeerUnderlay,
    UnderlayConfig,
    UnderlayMemory,
    UnderlayStatus,
)
from appliance.underlay.service import UnderlayService


def keys_of(name: str) -> tuple[NodePrivate, DiscoPrivate]:
    """Every node's keys follow from its name."""
    seed = hashlib.sha256(name.encode()).digest()
    return NodePrivate.from_seed(seed), DiscoPrivate.from_seed(seed[::-1])


class Node:
    """One node with its peers."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        program = find_wireguard_go(Path(settings["wireguard_go"]))
        self.device = UapiDataplane(settings["interface"], program)
        ports = {NodePublic.parse(k): v for k, v in settings.get("ports", {}).items()}
        self.underlay = UnderlayService(self.device, UnderlayMemory(proxy_ports=ports))

    async def apply(self) -> None:
        s = self.settings
        node_key, disco_key = keys_of(s["name"])
        peers = {}
        for peer in s["peers"]:
            node, disco = keys_of(peer["name"])
            endpoints = tuple(AddrPort.parse(text) for text in peer.get("endpoints", ()))
            peers[node.public()] = PeerUnderlay(
                node.public(), disco.public(), endpoints, peer["home_derp"], peer["name"]
            )
        derp_map = msgspec.json.decode(json.dumps(s["derp_map"]), type=DerpMap)
        config = UnderlayConfig(node_key, disco_key, s["port"], s["fwmark"], derp_map, peers)
        await self.underlay.apply(config)
        await self.device.apply(
            DataplaneConfig(
                node_key,
                s["port"],
                s["fwmark"],
                1280,
                (ipaddress.ip_interface(s["address"]),),
                {
                    key: PeerConfig(
                        key,
                        frozenset({ipaddress.ip_network(peer["address"])}),
                        self.underlay.proxy_endpoint(key),
                    )
                    for key, peer in zip(peers, s["peers"], strict=True)
                },
            )
        )

    async def command(self, line: dict[str, Any]) -> dict[str, Any]:
        match line["do"]:
            case "ping":
                key = keys_of(line["peer"])[0].public()
                result = await self.underlay.ping(key, line.get("timeout_s", 5.0))
                return {
                    "path": render(result.path) if result else None,
                    "latency_s": result.latency_s if result else None,
                }
            case "status":
                return {"status": render_status(self.underlay.status.value)}
            case "usage":
                usage = resource.getrusage(resource.RUSAGE_SELF)
                return {
                    "cpu_s": usage.ru_utime + usage.ru_stime,
                    "at": time.monotonic(),
                    "switches": usage.ru_nvcsw,
                    "pss_kb": pss_kb(),
                    "ports": {
                        k.text(): v for k, v in self.underlay.memory.value.proxy_ports.items()
                    },
                }
            case "network_changed":
                self.underlay.network_changed()
                return {}
            case "stop":
                await self.device.close(remove=line.get("remove", True))
                os._exit(0)
            case other:
                return {"error": other}


def pss_kb() -> int:
    text = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def render(path: Any) -> str:
    return f"direct {path.address}" if isinstance(path, Direct) else f"relay {path.region}"


def render_status(status: UnderlayStatus) -> dict[str, Any]:
    return {
        "endpoints": [str(e.address) for e in status.endpoints],
        "kinds": [int(e.kind) for e in status.endpoints],
        "home": status.home_relay,
        "relays": {str(k): v for k, v in status.relays.items()},
        "problem": status.relay_problem,
        "paths": {k.text(): render(p) for k, p in status.paths.items()},
        "udp": status.net_info.working_udp if status.net_info else None,
    }


async def main(settings: dict[str, Any]) -> None:
    node = Node(settings)
    await node.device.open()
    await node.apply()

    def say(value: dict[str, Any]) -> None:
        print(json.dumps(value), flush=True)

    async def report() -> None:
        async for status in node.underlay.status.changes():
            say({"status": render_status(status), "at": time.monotonic()})

    async def obey() -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            say({"answer": await node.command(json.loads(line))})
        await node.device.close(remove=True)
        os._exit(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.underlay.run(), name="underlay")
        tasks.create_task(report(), name="report")
        tasks.create_task(obey(), name="commands")


if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("LOG", "INFO"), format="%(relativeCreated)7d %(message)s"
    )
    options = json.loads(Path(sys.argv[1]).read_text())
    factory = None
    if options.get("uvloop"):
        import uvloop

        factory = uvloop.new_event_loop
    if profile := options.get("profile"):
        import cProfile

        profiler = cProfile.Profile()
        import signal

        def dump(*_: object) -> None:
            profiler.disable()
            profiler.dump_stats(profile)

        signal.signal(signal.SIGUSR1, lambda *_: profiler.enable())
        signal.signal(signal.SIGUSR2, dump)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(options))
