"""What a decoder raises when a peer breaks the protocol."""


class ProtocolError(Exception):
    """The other side sent something that its protocol does not allow.

    Raised by every decoder of this room, and by nothing else in it, whatever the bytes.
    """
