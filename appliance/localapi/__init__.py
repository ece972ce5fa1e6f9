"""localapi: the agent's Unix socket, for the command line and the setup page.

In: HTTP/1.1 with JSON on a Unix socket; the caller is known by its peer credentials. Out: calls on
a ``Backend``, so that this room need not know the agent. ``client`` is synchronous and light.
"""
