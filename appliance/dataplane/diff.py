"""The smallest change that turns a device into what the config wants.

A live device is never emptied: peers go one by one, and a list of allowed IPs is replaced only
where something must leave it that no other peer takes (adding a network to one peer takes it from
the other in the same step).
"""

from appliance.dataplane.config import DataplaneConfig, PeerConfig
from appliance.protocol.addresses import IPNetwork
from appliance.protocol.keys import NodePublic
from appliance.protocol.wireguard import DeviceChange, PeerChange, WireGuardDevice, WireGuardPeer


def plan_change(config: DataplaneConfig, device: WireGuardDevice) -> DeviceChange:
    """Compare the whole device; endpoints of known peers are left as they are."""
    key, port, mark = config.private_key, config.listen_port, config.fwmark
    return DeviceChange(
        private_key=None if key == device.private_key else key,
        fwmark=None if mark == device.fwmark else mark,
        listen_port=None if port == device.listen_port else port,
        peers=_plan_peers(config, device),
    )


def plan_reset(peer: PeerConfig) -> DeviceChange:
    """Forget a peer's session: remove it, then add it again with the networks it has."""
    again = PeerChange(peer.key, endpoint=peer.endpoint, allowed_ips=peer.allowed_ips)
    return DeviceChange(peers=(PeerChange(peer.key, remove=True), again))


def _plan_peers(config: DataplaneConfig, device: WireGuardDevice) -> tuple[PeerChange, ...]:
    changes = [PeerChange(key, remove=True) for key in device.peers if key not in config.peers]
    owner = {network: key for key, peer in config.peers.items() for network in peer.allowed_ips}
    for key, wanted in config.peers.items():
        if key not in device.peers:
            changes.append(
                PeerChange(key, endpoint=wanted.endpoint, allowed_ips=wanted.allowed_ips)
            )
        elif change := _plan_known_peer(wanted, device.peers[key], owner):
            changes.append(change)
    return tuple(changes)


def _plan_known_peer(
    wanted: PeerConfig, present: WireGuardPeer, owner: dict[IPNetwork, NodePublic]
) -> PeerChange | None:
    surplus = {network for network in present.allowed_ips if network not in owner}
    if surplus:
        return PeerChange(
            wanted.key,
            update_only=True,
            replace_allowed_ips=True,
            allowed_ips=wanted.allowed_ips,
        )
    missing = wanted.allowed_ips - present.allowed_ips
    if missing:
        return PeerChange(wanted.key, update_only=True, allowed_ips=missing)
    return None
