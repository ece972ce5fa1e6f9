"""phrases: what the agent and the coordinator say, as templates; a module for each of their rooms.

A unit test reads the modules that the sentences come from, and fails on one that is missing here.
"""

from typing import Final

from webui.phrases import connection, coordinator, health, machine, routes, wishes
from webui.phrases.mark import Template

TEMPLATES: Final[tuple[Template, ...]] = (
    *routes.TEMPLATES,
    *health.TEMPLATES,
    *wishes.TEMPLATES,
    *connection.TEMPLATES,
    *coordinator.TEMPLATES,
    *machine.TEMPLATES,
)
