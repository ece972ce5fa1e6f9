"""Where the node stands with its coordinator."""

from enum import Enum, auto
from typing import Final


class ControlState(Enum):
    """One sentence a state."""

    LOGGED_OUT = auto()
    """The owner has not logged in, or has logged out: nothing is tried."""
    CONNECTING = auto()
    """A connection to the coordinator is being made."""
    WAITING = auto()
    """The last attempt failed or the connection was lost; the next follows after a pause."""
    REGISTERING = auto()
    """The coordinator is asked to admit the node key."""
    AWAITING_LOGIN = auto()
    """A person must open the login page."""
    REFUSED = auto()
    """The coordinator refused the node; asked again after a long pause or a new login."""
    POLLING = auto()
    """The node is admitted, and the map is asked for."""
    RUNNING = auto()
    """The map streams."""
    EXPIRED = auto()
    """The map streams, but the node key has expired: the owner must log in again."""


class ControlInput(Enum):
    """What happens to a session."""

    LOG_IN = auto()
    """The owner wants to be logged in (again)."""
    LOGGED_OUT = auto()
    """The owner wanted to be logged out, and the coordinator was told if it could be."""
    OPENED = auto()
    """There is a connection, and the node key is not yet known to be admitted."""
    RESUMED = auto()
    """There is a connection, and the node key has been admitted before."""
    LOST = auto()
    """The connection failed or was lost."""
    RETRY = auto()
    """The pause is over."""
    ADMITTED = auto()
    """The coordinator admits the node key."""
    LOGIN_NEEDED = auto()
    """The coordinator names a login page."""
    REFUSED = auto()
    """The coordinator gave a reason against the node."""
    NODE_KEY_EXPIRED = auto()
    """The coordinator wants another node key; one has been made."""
    MAP = auto()
    """A message of the map arrived, and the node key is valid."""
    EXPIRED_MAP = auto()
    """A message of the map arrived, and the node key has expired."""


_S, _I = ControlState, ControlInput

TRANSITIONS: Final[dict[tuple[ControlState, ControlInput], ControlState]] = {
    (_S.CONNECTING, _I.OPENED): _S.REGISTERING,
    (_S.CONNECTING, _I.RESUMED): _S.POLLING,
    (_S.WAITING, _I.RETRY): _S.CONNECTING,
    (_S.REFUSED, _I.RETRY): _S.CONNECTING,
    (_S.REGISTERING, _I.ADMITTED): _S.POLLING,
    (_S.REGISTERING, _I.LOGIN_NEEDED): _S.AWAITING_LOGIN,
    (_S.REGISTERING, _I.NODE_KEY_EXPIRED): _S.REGISTERING,
    (_S.REGISTERING, _I.REFUSED): _S.REFUSED,
    (_S.AWAITING_LOGIN, _I.ADMITTED): _S.POLLING,
    (_S.AWAITING_LOGIN, _I.LOGIN_NEEDED): _S.AWAITING_LOGIN,
    (_S.AWAITING_LOGIN, _I.NODE_KEY_EXPIRED): _S.REGISTERING,
    (_S.AWAITING_LOGIN, _I.REFUSED): _S.REFUSED,
    (_S.POLLING, _I.MAP): _S.RUNNING,
    (_S.POLLING, _I.EXPIRED_MAP): _S.EXPIRED,
    (_S.RUNNING, _I.MAP): _S.RUNNING,
    (_S.RUNNING, _I.EXPIRED_MAP): _S.EXPIRED,
    (_S.EXPIRED, _I.MAP): _S.RUNNING,
    (_S.EXPIRED, _I.EXPIRED_MAP): _S.EXPIRED,
    **{(state, _I.LOG_IN): _S.CONNECTING for state in _S},
    **{(state, _I.LOGGED_OUT): _S.LOGGED_OUT for state in _S},
    **{
        (state, _I.LOST): _S.WAITING
        for state in _S
        if state not in (_S.LOGGED_OUT, _S.WAITING, _S.REFUSED)
    },
}


def next_state(state: ControlState, happening: ControlInput) -> ControlState:
    """Follow the table; an absent pair is a ``KeyError``, a mistake of ours."""
    return TRANSITIONS[state, happening]
