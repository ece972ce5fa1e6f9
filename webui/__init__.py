"""webui: the setup page. A browser on the LAN claims the box, chooses its mesh and looks after it.

In: forms of a person without a terminal. Out: calls of the Local API and of the coordinator's
admin API, where each action is authorised; the page itself has no rights and no network logic.
One module in ``views`` for each task that the owner has.
"""

from webui.app import create_app

__all__ = ["create_app"]
