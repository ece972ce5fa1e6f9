"""What can go wrong with the port for peers."""


class PeerApiError(Exception):
    """No port can be had; the message says what to do."""
