"""What can go wrong with the underlay, split by what the caller would do."""


class UnderlayError(Exception):
    """The underlay could not do what was asked; the message says what to do."""


class UnknownPeerError(UnderlayError):
    """The netmap has no such peer; asking again helps only after a new netmap."""


class NotPermittedError(UnderlayError):
    """Raw sockets are refused to us: the process needs root or CAP_NET_RAW."""


class RelayError(UnderlayError):
    """A relay cannot be used now; trying again later may help."""
