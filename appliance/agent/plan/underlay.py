"""The underlay's desired state."""

from appliance.agent.plan.inputs import Inputs
from appliance.netmap.model import endpoints_of, home_relay_of, is_expired, short_name
from appliance.underlay.config import PeerUnderlay, UnderlayConfig


def plan_underlay(inputs: Inputs) -> UnderlayConfig:
    """Decide which peers to find paths to; expired ones are left out."""
    peers = {
        peer.key: PeerUnderlay(
            key=peer.key,
            disco_key=None if peer.disco_key is None or peer.disco_key.is_zero else peer.disco_key,
            endpoints=endpoints_of(peer),
            home_derp=home_relay_of(peer),
            name=short_name(peer),
        )
        for peer in inputs.netmap.peers.values()
        if not is_expired(peer, inputs.now)
    }
    return UnderlayConfig(
        node_key=inputs.node_key,
        disco_key=inputs.disco_key,
        listen_port=inputs.listen_port,
        fwmark=inputs.fwmark,
        derp_map=inputs.netmap.derp_map,
        peers=peers,
    )
