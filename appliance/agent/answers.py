"""What the Local API answers about pings, the network and exit nodes, as values. Pure."""

from collections.abc import Mapping

import msgspec

from appliance.agent.plan.exitnode import candidates, suggest
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import exit_node_of
from appliance.localapi.types import ExitOption, ExitOptions, NetcheckReport, PingReply
from appliance.netmap.model import NetworkMap, short_name
from appliance.protocol.tailcfg import Node
from appliance.underlay.config import Direct, PingResult, UnderlayStatus


def ping_reply(netmap: NetworkMap | None, peer: Node, result: PingResult | None) -> PingReply:
    """Tell of one ping; None is an unanswered one."""
    address = str(peer.addresses[0].network_address) if peer.addresses else ""
    reply = PingReply(node_name=short_name(peer), ip=address)
    if result is None:
        return reply
    if isinstance(result.path, Direct):
        return msgspec.structs.replace(
            reply, latency_s=result.latency_s, endpoint=str(result.path.address)
        )
    relay = region_code(netmap, result.path.region)
    return msgspec.structs.replace(reply, latency_s=result.latency_s, relay=relay)


def netcheck_report(netmap: NetworkMap | None, status: UnderlayStatus) -> NetcheckReport:
    """Tell what the network lets through."""
    info = status.net_info
    latencies = (info.derp_latency if info else None) or {}
    return NetcheckReport(
        udp=info.working_udp if info else None,
        ipv4=str(status.global_v4 or ""),
        ipv6=str(status.global_v6 or ""),
        mapping_varies=info.mapping_varies_by_dest_ip if info else None,
        nearest_relay=region_code(netmap, status.home_relay),
        relay_latency_s={_latency_name(netmap, name): s for name, s in latencies.items()},
        relay_connected=status.relays.get(status.home_relay, False),
    )


def exit_options(inputs: Inputs, underlay: UnderlayStatus, ipv6: Mapping[str, str]) -> ExitOptions:
    """Tell who offers to be exit node, the nearest first; ``ipv6`` is by stable ID."""
    found = candidates(inputs.netmap, underlay, inputs.now)
    best = suggest(found)
    chosen = exit_node_of(inputs.netmap, inputs.prefs.exit_node)
    return ExitOptions(
        options=tuple(
            ExitOption(
                name=short_name(one.node),
                id=one.id,
                ip=str((one.node.addresses or ("",))[0]).partition("/")[0],
                online=one.usable,
                chosen=chosen is not None and chosen.stable_id == one.id,
                suggested=best is not None and best.id == one.id,
                latency_s=one.latency_s,
                measured="" if one.latency_s is None else "direct" if one.direct else "relay",
                ipv6=ipv6.get(one.id, "unknown"),
            )
            for one in found
        )
    )


def region_code(netmap: NetworkMap | None, region_id: int) -> str:
    """Return a relay region's code; empty when it is not on the map."""
    regions = (netmap.derp_map.regions if netmap else None) or {}
    region = regions.get(region_id)
    return region.region_code if region else ""


def _latency_name(netmap: NetworkMap | None, name: str) -> str:
    region, _, family = name.partition("-")
    code = region_code(netmap, int(region)) if region.isdecimal() else ""
    return f"{code or region} ({'IPv6' if family == 'v6' else 'IPv4'})"
