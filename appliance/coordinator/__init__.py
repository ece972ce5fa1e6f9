"""coordinator: the coordination server of one tailnet.

In: registrations, map requests and admin calls. Out: to each connected node, what it may know of
the others, kept up to date. It brokers keys and addresses and never sees traffic. Tailscale calls
this the control plane; Headscale is another implementation of it.

``state`` holds one immutable ``Snapshot`` and swaps it on each write; a ``Change`` names the nodes
that a write concerns; ``mapper`` turns snapshot, change and viewer into messages and is pure.
"""
