"""What the documentation of every module of the collection says alike."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes and the options for the two sockets."""

    DOCUMENTATION = r"""
options: {}
attributes:
  platform:
    description: The systems that a target may run.
    platforms: Debian
    support: full
"""

    CHANGING = r"""
options: {}
attributes:
  check_mode:
    description: Says what would change, also on a host where Latchkey is not installed yet.
    support: full
  diff_mode:
    description: Shows what is different before and after, and never a secret.
    support: full
"""

    READING = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing anyway.
    support: full
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: none
"""

    AGENT = r"""
options:
  socket:
    description: Where the agent's Local API is.
    type: path
    default: /run/latchkey/latchkey.sock
"""

    COORDINATOR = r"""
options:
  admin_socket:
    description: Where the coordinator's admin API is.
    type: path
    default: /run/latchkey-coordinator/admin.sock
"""
