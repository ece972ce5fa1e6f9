"""doctor: finds what is wrong with this node, and why something cannot be reached.

In: what the agent knows, and a few probes. Out: one list of checks, the first broken layer, and
what to do. ``machine`` judges the node itself, ``reach`` walks the layers to one target (both
pure), ``service`` gathers for them, ``offline`` does so without a running agent.
"""
