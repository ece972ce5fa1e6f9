"""What a node says about itself in a map request, put into its record. Pure.

Absent is unchanged: clients leave out Hostinfo, NetInfo and endpoints that they have sent before.
"""

from dataclasses import replace

from appliance.coordinator.hostinfo import clip_endpoints, clip_hostinfo
from appliance.coordinator.model import NodeRecord, Snapshot
from appliance.coordinator.naming import label_from_hostname, unique_label
from appliance.protocol.tailcfg import Hostinfo, MapRequest


def apply_report(snapshot: Snapshot, node_id: int, request: MapRequest) -> Snapshot:
    """Take over what the request says; an unchanged report returns the same snapshot."""
    node = snapshot.nodes.get(node_id)
    if node is None or request.read_only:
        return snapshot
    fresh = _with_addresses(node, request)
    if request.hostinfo is not None:
        fresh = _with_hostinfo(snapshot, fresh, request.hostinfo)
    return snapshot if fresh == node else snapshot.with_nodes([fresh])


def _with_addresses(node: NodeRecord, request: MapRequest) -> NodeRecord:
    endpoints = request.endpoints
    # A stream repeats what the client knows at its start, which may be nothing yet.
    if not endpoints and request.stream:
        endpoints = None
    disco_key = request.disco_key
    known_disco = disco_key is not None and not disco_key.is_zero
    return replace(
        node,
        disco_key=disco_key if known_disco else node.disco_key,
        endpoints=node.endpoints if endpoints is None else clip_endpoints(endpoints),
        cap_version=request.version or node.cap_version,
    )


def _with_hostinfo(snapshot: Snapshot, node: NodeRecord, info: Hostinfo) -> NodeRecord:
    home_derp = info.net_info.preferred_derp if info.net_info is not None else 0
    return replace(
        node,
        hostinfo=clip_hostinfo(info),
        name=_name_for(snapshot, node, info),
        home_derp=home_derp if 0 < home_derp < 65536 else node.home_derp,
    )


def _name_for(snapshot: Snapshot, node: NodeRecord, info: Hostinfo) -> str:
    label = label_from_hostname(info.hostname)
    if node.name_fixed or label == label_from_hostname(node.hostinfo.hostname):
        return node.name
    others = frozenset(n.name for n in snapshot.nodes.values() if n.id != node.id)
    return unique_label(label, others)
