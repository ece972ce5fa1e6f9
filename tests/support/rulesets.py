"""Rulesets as text, and what is in them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace

from appliance.gateway import ruleset
from appliance.gateway.config import GatewayConfig
from appliance.gateway.filter import parse_filter
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.tailcfg import FilterRule, NetPortRange


def networks(*texts: str) -> frozenset[IPNetwork]:
    return frozenset(ipaddress.ip_network(text) for text in texts)


CLOSED = GatewayConfig(
    interface="latchkey0",
    addresses=(
        ipaddress.ip_interface("100.64.0.1/32"),
        ipaddress.ip_interface("fd7a:115c:a1e0::1"),
    ),
    listen_port=41641,
    fwmark=0x80000,
)
OPEN = replace(CLOSED, filter=(FilterRule(src_ips=("*",), dst_ports=(NetPortRange(ip="*"),)),))


def render_ruleset(config: GatewayConfig, *, cut: bool = False) -> str:
    """What a gateway loads for a config and the filter in it."""
    return ruleset.render_ruleset(config, parse_filter(config.filter or ()).allows, cut=cut)


def chain(text: str, name: str) -> list[str]:
    """The rules of a chain, without the line that hooks it in."""
    [body] = re.findall(rf"chain {name} \{{\n(.*?)\n\t\}}", text, re.DOTALL)
    return [line.strip() for line in body.split("\n") if "hook" not in line]


def chains(text: str) -> set[str]:
    """The names of all chains."""
    return set(re.findall(r"chain (\w+) \{", text))


def hooks(text: str) -> set[str]:
    """The hooks at which packets come in."""
    return set(re.findall(r"hook (\w+) ", text))
