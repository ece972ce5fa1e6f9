"""The rooms that the agent joins, and one function that makes the real ones."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.dataplane.driver import Dataplane
from appliance.gateway.driver import Gateway
from appliance.underlay.config import UnderlayMemory
from appliance.underlay.service import UnderlayService


@dataclass(frozen=True, slots=True)
class Rooms:
    """What touches the machine; tests put fakes here."""

    dataplane: Dataplane
    gateway: Gateway
    open_underlay: Callable[[Dataplane, UnderlayMemory], UnderlayService]
