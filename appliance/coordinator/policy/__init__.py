"""policy: who may reach what. Pure.

In: a policy, a snapshot, a viewer. Out: the viewer's packet filter, and which nodes it may know.
Without a policy file every node may reach every other, the granted routes and the exit nodes.
"""
