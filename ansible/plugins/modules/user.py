#!/usr/bin/python
"""Ansible module: users at the coordinator."""
# ruff: noqa: E402 - Ansible reads the documentation before anything else

from __future__ import annotations

DOCUMENTATION = r"""
module: user
short_description: Have a user at the coordinator, or none
version_added: 0.1.0
description:
  - A user owns nodes and pre-auth keys. One who owns nodes cannot be deleted.
  - Talks to the coordinator on the host, so it runs there and needs O(become=true).
extends_documentation_fragment:
  - latchkey.mesh.attributes
  - latchkey.mesh.attributes.changing
  - latchkey.mesh.attributes.coordinator
options:
  name:
    description: The user's name.
    type: str
    required: true
  display_name:
    description: What a new user is called in lists; the name if empty.
    type: str
    default: ''
  state:
    description: Whether there is to be such a user.
    type: str
    choices: [present, absent]
    default: present
author:
  - The Latchkey authors
"""

EXAMPLES = r"""
- name: Have a user for the family's devices
  latchkey.mesh.user:
    name: alice
"""

RETURN = r"""
code:
  description: The failure's name, as in the table of exit statuses.
  type: str
  returned: failure
  sample: coordinator-not-running
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.latchkey.mesh.plugins.module_utils.admin import settle_user
from ansible_collections.latchkey.mesh.plugins.module_utils.task import run
from ansible_collections.latchkey.mesh.plugins.module_utils.unixapi import COORDINATOR, Api

SPEC = {
    "name": {"required": True},
    "display_name": {"default": ""},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "admin_socket": {"type": "path", "default": COORDINATOR.socket},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(SPEC, supports_check_mode=True)
    given = module.params

    def work() -> dict[str, Any]:
        return settle_user(
            Api(COORDINATOR, given["admin_socket"]),
            given["name"],
            given["display_name"],
            wanted=given["state"] == "present",
            check=module.check_mode,
        ).as_result()

    run(module, work)


if __name__ == "__main__":
    main()
