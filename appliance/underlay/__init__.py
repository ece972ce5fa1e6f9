"""underlay: how an encrypted WireGuard packet reaches a peer, directly or through a relay.

In: our keys, the peers with their candidate addresses, the relay map (``UnderlayConfig``), and
what the WireGuard device counted. Out: the best path to each peer, set as the peer's endpoint in
the device; our own addresses and home relay, for the coordinator. Tailscale calls this magicsock.

A packet of a direct path never passes through here. A relayed one does: each peer has a UDP
socket on the loopback (``loopback``) that the device takes for the peer.
"""
