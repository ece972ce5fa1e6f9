"""The WireGuard device's desired state."""

from collections.abc import Callable
from ipaddress import ip_interface

from appliance.agent.plan.dns import stub_addresses
from appliance.agent.plan.inputs import Inputs
from appliance.agent.plan.routes import accepted_routes
from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic

TUNNEL_MTU = 1280
"""Every node of the mesh assumes it; a larger one would lose packets towards stock clients."""


def plan_dataplane(
    inputs: Inputs, first_endpoint: Callable[[NodePublic], AddrPort]
) -> DataplaneConfig:
    """Decide the device's peers; each starts at its relay proxy, the underlay moves it."""
    peers = {
        key: PeerConfig(key=key, allowed_ips=networks, endpoint=first_endpoint(key))
        for key, networks in accepted_routes(inputs).items()
    }
    return DataplaneConfig(
        private_key=inputs.node_key,
        listen_port=inputs.listen_port,
        fwmark=inputs.fwmark,
        mtu=TUNNEL_MTU,
        addresses=(
            *(ip_interface(str(n)) for n in inputs.netmap.self_node.addresses or ()),
            *(ip_interface(stub) for stub in stub_addresses(inputs)),
        ),
        peers=peers,
    )
