"""A node without a coordinator: WireGuard device and underlay, for lab tests.

Run as a program inside a machine of the lab with a file of settings (JSON). It answers commands,
one JSON object a line, on a Unix socket.
"""

import asyncio
import hashlib
import ipaddress
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.dataplane.discover import SEARCH_PATH, find_wireguard_go
from appliance.dataplane.uapi import UapiDataplane
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import DiscoPrivate, NodePrivate, NodePublic
from appliance.protocol.tailcfg import DerpMap
from appliance.underlay.config import Direct, PeerUnderlay, UnderlayConfig, UnderlayMemory
from appliance.underlay.service import UnderlayService
from tests.support.peers import PEERS


def keys_of(name: str) -> tuple[NodePrivate, DiscoPrivate]:
    """Every node's keys follow from its name."""
    seed = hashlib.sha256(name.encode()).digest()
    return NodePrivate.from_seed(seed), DiscoPrivate.from_seed(seed[::-1])


class Node:
    """One node and its peers."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        program = find_wireguard_go(None, [PEERS, *SEARCH_PATH])
        self.device = UapiDataplane(settings["interface"], program)
        remembered = {NodePublic.parse(k): v for k, v in settings.get("ports", {}).items()}
        self.underlay = UnderlayService(self.device, UnderlayMemory(proxy_ports=remembered))

    def config(self) -> UnderlayConfig:
        s = self.settings
        node_key, disco_key = keys_of(s["name"])
        peers = {}
        for peer in s["peers"]:
            node, disco = keys_of(peer["name"])
            endpoints = tuple(AddrPort.parse(text) for text in peer["endpoints"])
            peers[node.public()] = PeerUnderlay(
                node.public(), disco.public(), endpoints, peer["home_derp"], peer["name"]
            )
        relay_map = msgspec.json.decode(json.dumps(s["derp_map"]), type=DerpMap)
        return UnderlayConfig(node_key, disco_key, s["port"], s["fwmark"], relay_map, peers)

    async def apply(self) -> None:
        s, wanted = self.settings, self.config()
        await self.underlay.apply(wanted)
        peers = {
            key: PeerConfig(
                key,
                frozenset({ipaddress.ip_network(peer["address"])}),
                self.underlay.proxy_endpoint(key),
            )
            for key, peer in zip(wanted.peers, s["peers"], strict=True)
        }
        address = ipaddress.ip_interface(f"{s['address']}/24")
        await self.device.apply(
            DataplaneConfig(wanted.node_key, s["port"], s["fwmark"], 1280, (address,), peers)
        )

    async def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "ping":
                key = keys_of(command["peer"])[0].public()
                result = await self.underlay.ping(key, command.get("timeout_s", 5.0))
                path = render(result.path) if result else None
                return {"path": path, "latency_s": result.latency_s if result else None}
            case "status":
                return self.status()
            case "network_changed":
                self.underlay.network_changed()
                return {}
            case "ports":
                memory = self.underlay.memory.value
                return {key.text(): port for key, port in memory.proxy_ports.items()}
            case "endpoints":
                peers = self.device.observe().peers
                return {key.text(): str(peer.endpoint) for key, peer in peers.items()}
            case other:
                return {"error": f"no such command: {other}"}

    def status(self) -> dict[str, Any]:
        status = self.underlay.status.value
        names = {keys_of(peer["name"])[0].public(): peer["name"] for peer in self.settings["peers"]}
        return {
            "endpoints": [str(endpoint.address) for endpoint in status.endpoints],
            "home": status.home_relay,
            "relays": {str(number): is_open for number, is_open in status.relays.items()},
            "paths": {names[key]: render(path) for key, path in status.paths.items()},
            "udp": status.net_info.working_udp if status.net_info else None,
        }


def render(path: Any) -> str:
    return f"direct {path.address}" if isinstance(path, Direct) else f"relay {path.region}"


async def main(settings: dict[str, Any]) -> None:
    node = Node(settings)
    await node.device.open()
    await node.apply()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            answer = await node.obey(json.loads(line))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        writer.close()

    path = Path(settings["control"])
    path.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(serve, path):
        print("ready", flush=True)
        await node.underlay.run()


if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("LOG", "INFO"), format="%(relativeCreated)7d %(message)s"
    )
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
