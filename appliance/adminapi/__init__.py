"""adminapi: the coordinator's Unix socket, for `latchkey admin` and for Ansible.

In: HTTP/1.1 with JSON on a Unix socket; the caller is known by its peer credentials. Out: calls on
a ``Backend``, so that this room need not know the coordinator. ``client`` is synchronous and light.
"""
