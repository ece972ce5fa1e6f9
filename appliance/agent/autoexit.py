"""Which exit node stands for ``auto:any`` now; it is kept, because a change breaks connections."""

import logging
from datetime import datetime

import msgspec

from appliance.agent.plan.exitnode import Choice, candidates, next_choice
from appliance.netmap.model import NetworkMap, short_name
from appliance.netmap.prefs import AUTO_EXIT, Prefs
from appliance.underlay.config import UnderlayStatus

_log = logging.getLogger(__name__)


class AutoExit:
    """Puts a node in the place of ``auto:any`` in the prefs that plans are made from."""

    def __init__(self) -> None:
        self._choice: Choice | None = None

    def resolve(
        self, prefs: Prefs, netmap: NetworkMap, underlay: UnderlayStatus, now: datetime
    ) -> Prefs:
        """Return prefs with a node's ID; without any node ``auto:any`` stays, which leads nowhere.

        So nothing goes out in the clear while nobody is there to carry it.
        """
        if prefs.exit_node != AUTO_EXIT:
            self._choice = None
            return prefs
        found = candidates(netmap, underlay, now)
        before, self._choice = self._choice, next_choice(self._choice, found)
        if self._choice is None:
            return prefs
        if self._choice != before:
            names = {one.id: short_name(one.node) for one in found}
            _log.info("The nearest exit node is %s; it is used now", names[self._choice.id])
        return msgspec.structs.replace(prefs, exit_node=self._choice.id)
