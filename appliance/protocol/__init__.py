"""protocol: the wire formats, sans-IO.

In: bytes. Out: values, or a ``ProtocolError``. And back. Nothing in this room opens a socket,
reads a clock or draws a random number: time and randomness are arguments.
"""
