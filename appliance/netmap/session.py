"""From map responses to network maps.

The coordinator streams one whole map and then deltas. ``apply_response`` folds one message into
the map before it and returns the next; neither is changed. Source: tailscale
control/controlclient/map.go, 2026-08; the order of steps inside one message is the reference's.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import msgspec

from appliance.netmap.model import NetworkMap
from appliance.protocol.errors import ProtocolError
from appliance.protocol.tailcfg import (
    DerpMap,
    FilterRule,
    MapResponse,
    Node,
    PeerChange,
    UserProfile,
)

MAX_PEERS = 10_000
"""A tailnet larger than this is not what a home gateway can hold (about 2 KB a peer)."""


def apply_response(
    before: NetworkMap | None, message: MapResponse, now: datetime
) -> NetworkMap | None:
    """Fold one message into the map; ``now`` dates peers that are reported as seen.

    Keep-alives change nothing. The first message must carry the node itself, else it is a
    ``ProtocolError``; so is a tailnet of more than ``MAX_PEERS``.
    """
    if message.keep_alive:
        return before
    if before is None:
        if message.node is None:
            raise ProtocolError("the coordinator's first message does not say who this node is")
        before = NetworkMap(message.node)
    peers = _next_peers(before.peers, message, now)
    if len(peers) > MAX_PEERS:
        raise ProtocolError(f"the coordinator sent more than {MAX_PEERS} peers")
    return replace(
        before,
        self_node=message.node or before.self_node,
        peers=peers,
        users=_next_users(before.users, message.user_profiles),
        derp_map=_next_derp_map(before.derp_map, message.derp_map),
        dns=before.dns if message.dns_config is None else message.dns_config,
        filter_chunks=_next_chunks(before.filter_chunks, message),
        domain=message.domain or before.domain,
        health=before.health if message.health is None else message.health,
    )


def to_response(netmap: NetworkMap) -> MapResponse:
    """Render a map as the one message that yields it, to be kept on disk."""
    return MapResponse(
        node=netmap.self_node,
        peers=tuple(netmap.peers.values()),
        user_profiles=tuple(netmap.users.values()),
        derp_map=netmap.derp_map,
        dns_config=netmap.dns,
        packet_filters=dict(netmap.filter_chunks),
        domain=netmap.domain,
    )


def _next_peers(
    before: Mapping[int, Node], message: MapResponse, now: datetime
) -> Mapping[int, Node]:
    if message.peers:
        return {peer.id: peer for peer in message.peers}
    peers = dict(before)
    for node_id in message.peers_removed or ():
        peers.pop(node_id, None)
    for peer in message.peers_changed or ():
        peers[peer.id] = peer
    for node_id, seen in (message.peer_seen_change or {}).items():
        _update(peers, node_id, last_seen=now if seen else None)
    for node_id, online in (message.online_change or {}).items():
        _update(peers, node_id, online=online)
    for change in message.peers_changed_patch or ():
        _update(peers, change.node_id, **_changed_fields(change))
    return peers


def _update(peers: dict[int, Node], node_id: int, **fields: object) -> None:
    if node_id in peers and fields:
        peers[node_id] = msgspec.structs.replace(peers[node_id], **fields)


def _changed_fields(change: PeerChange) -> dict[str, object]:
    names = ("endpoints", "key", "disco_key", "online", "last_seen", "key_expiry", "cap_map")
    fields = {name: getattr(change, name) for name in names if getattr(change, name) is not None}
    if change.derp_region:
        fields |= {"home_derp": change.derp_region, "derp": f"127.3.3.40:{change.derp_region}"}
    if change.cap:
        fields["cap"] = change.cap
    return fields


def _next_users(
    before: Mapping[int, UserProfile], profiles: tuple[UserProfile, ...] | None
) -> Mapping[int, UserProfile]:
    return {**before, **{profile.id: profile for profile in profiles or ()}}


def _next_derp_map(before: DerpMap, after: DerpMap | None) -> DerpMap:
    if after is None:
        return before
    return msgspec.structs.replace(
        after,
        regions=before.regions if after.regions is None else after.regions,
        home_params=before.home_params if after.home_params is None else after.home_params,
    )


def _next_chunks(
    before: Mapping[str, tuple[FilterRule, ...]], message: MapResponse
) -> Mapping[str, tuple[FilterRule, ...]]:
    if message.packet_filter is None and message.packet_filters is None:
        return before
    chunks = dict(before)
    if message.packet_filter is not None:
        chunks["base"] = message.packet_filter
    named = message.packet_filters or {}
    if "*" in named and named["*"] is None:
        chunks.clear()
    for name, rules in named.items():
        if rules is None:
            chunks.pop(name, None)
        elif name != "*":
            chunks[name] = rules
    return chunks
