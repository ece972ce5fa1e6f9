"""derp: the relay protocol, sans-IO, both sides.

In: bytes from the other side. Out: events, and bytes to send. ``frames`` has the layout of every
frame, ``login`` the two sealed messages that open a connection, ``upgrade`` the HTTP exchange
before it, ``client`` and ``server`` one connection as either side sees it.
"""
