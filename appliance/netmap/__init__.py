"""netmap: this node's view of the tailnet as immutable values, and the owner's prefs.

In: map responses (``session``) and the owner's wishes (``prefs``). Out: a ``NetworkMap`` and a
parsed packet filter that the planners of the agent turn into configurations. Pure.
"""
