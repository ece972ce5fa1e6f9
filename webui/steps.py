"""What the owner has to do next, derived from what the agent says.

One thing the agent cannot know is remembered here: that somebody looked at the networks and
decided to offer none.
"""

from enum import Enum
from typing import Final

from appliance.localapi.client import LocalClient
from appliance.localapi.types import Prefs, Status
from webui.store import Store


class Step(Enum):
    """One page each."""

    MESH = "No mesh has been chosen."
    CONNECT = "A mesh is chosen, and the box is not in it yet."
    NETWORKS = "The box is in its mesh, and nobody has decided what it offers."
    DONE = "The setup is done."


_NETWORKS: Final = "networks"


def next_step(local: LocalClient, store: Store) -> Step:
    """Ask the agent, and say what is next."""
    status, prefs = local.status(), local.prefs()
    founding = not status.have_node_key and local.coordinator().configured
    return plan_step(status, prefs, founding=founding, decided=has_decided(store))


def plan_step(status: Status, prefs: Prefs, *, founding: bool, decided: bool) -> Step:
    """Say what is next; ``decided``: the networks have been seen to."""
    if not status.have_node_key:
        return Step.CONNECT if prefs.want_running or founding else Step.MESH
    offers = bool(prefs.advertise_routes) or prefs.advertise_exit_node
    return Step.DONE if offers or decided else Step.NETWORKS


def has_decided(store: Store) -> bool:
    """Whether somebody has been through the networks."""
    with store.reading() as db:
        return (
            db.execute("select 1 from decided where step = ?", (_NETWORKS,)).fetchone() is not None
        )


def decide(store: Store) -> None:
    """Remember that somebody has been through the networks."""
    with store.transaction() as db:
        db.execute("insert or ignore into decided values (?)", (_NETWORKS,))


def forget(store: Store) -> None:
    """Begin anew, in another mesh."""
    with store.transaction() as db:
        db.execute("delete from decided")
