"""relay: carries encrypted packets between nodes that have no direct path, and answers STUN.

In: connections of nodes, upgraded to DERP by this room's own HTTPS front or by the coordinator's.
Out: each packet at the node it is for, a node's address as STUN sees it. Tailscale calls this
derper.
"""
