"""What the relay counts, for the program around it."""

from dataclasses import dataclass


@dataclass(slots=True)
class RelayCounters:
    """Totals since the start, apart from the three that say what is now."""

    connections: int = 0
    """Logged-in connections now."""
    strangers: int = 0
    """Connections now that have not logged in."""
    home_nodes: int = 0
    """Connections now whose node calls this relay its home."""
    logins: int = 0
    logins_refused: int = 0
    """Not admitted, or admission could not be asked."""
    expelled: int = 0
    """Connections closed because their node is no longer admitted."""
    strangers_closed: int = 0
    """Closed before login: too slow, too many, or not speaking DERP."""
    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    """Handed to the destination's transport."""
    dropped_unknown: int = 0
    """No such destination here."""
    dropped_queue: int = 0
    """The destination reads too slowly, or its connection was about to end."""
    peer_gone_sent: int = 0
    stun_answers: int = 0
