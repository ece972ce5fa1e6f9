#!/usr/bin/python
"""Ansible module: pre-auth keys at the coordinator."""
# ruff: noqa: E402 - Ansible reads the documentation before anything else

from __future__ import annotations

DOCUMENTATION = r"""
module: preauth_key
short_description: Make or revoke a pre-auth key
version_added: 0.1.0
description:
  - A pre-auth key lets a node join without a person. The coordinator shows it once, when it is
    made, and keeps only its hash, so there is no finding an earlier key again.
  - What makes a playbook repeatable is O(node); nothing is made for a node that is there already.
  - Talks to the coordinator on the host, so it runs there (O(delegate_to)) and needs
    O(become=true). Set O(no_log=true) on the task, because its result holds the key.
extends_documentation_fragment:
  - latchkey.mesh.attributes
  - latchkey.mesh.attributes.changing
  - latchkey.mesh.attributes.coordinator
options:
  state:
    description: Whether to make a key, or to revoke the one with O(id).
    type: str
    choices: [present, absent]
    default: present
  user:
    description: Whose node it will be; the user must exist. Needed to make a key.
    type: str
  node:
    description:
      - The node that the key is for, by name, address or ID. Nothing is made while the mesh has
        such a node with a valid login.
      - Without it every run makes a key.
    type: str
    default: ''
  tags:
    description: Tags that will own the node, in place of the user.
    type: list
    elements: str
    default: []
  reusable:
    description: Whether more than one node may use it.
    type: bool
    default: false
  ephemeral:
    description: Whether its nodes are forgotten soon after they disconnect.
    type: bool
    default: false
  lifetime:
    description: Seconds until it is useless; 0 for never.
    type: int
    default: 600
  id:
    description: The key to revoke.
    type: str
seealso:
  - module: latchkey.mesh.prefs
author:
  - The Latchkey authors
"""

EXAMPLES = r"""
- name: Make a key for one gateway, unless it has joined
  latchkey.mesh.preauth_key:
    user: alice
    node: home
    tags: ['tag:gateway']
  delegate_to: vps
  register: made
  no_log: true

- name: Revoke it
  latchkey.mesh.preauth_key:
    state: absent
    id: "{{ made.id }}"
  delegate_to: vps
"""

RETURN = r"""
key:
  description: The text to join with. A secret.
  type: str
  returned: when a key was made
id:
  description: The key's name, not a secret.
  type: str
  returned: when a key was made
  sample: 0a1b2c3d4e5f
expires:
  description: When it becomes useless.
  type: str
  returned: when a key was made
  sample: '2026-11-23T02:41:00Z'
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.latchkey.mesh.plugins.module_utils.admin import (
    KeyTerms,
    make_key,
    revoke_key,
)
from ansible_collections.latchkey.mesh.plugins.module_utils.task import run
from ansible_collections.latchkey.mesh.plugins.module_utils.unixapi import COORDINATOR, Api

SPEC = {
    "state": {"choices": ["present", "absent"], "default": "present"},
    "user": {},
    "node": {"default": ""},
    "tags": {"type": "list", "elements": "str", "default": []},
    "reusable": {"type": "bool", "default": False},
    "ephemeral": {"type": "bool", "default": False},
    "lifetime": {"type": "int", "default": 600},
    "id": {},
    "admin_socket": {"type": "path", "default": COORDINATOR.socket},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        SPEC,
        supports_check_mode=True,
        required_if=[("state", "present", ["user"]), ("state", "absent", ["id"])],
    )
    given, check = module.params, module.check_mode
    api = Api(COORDINATOR, given["admin_socket"])
    terms = KeyTerms(
        user=given["user"] or "",
        tags=tuple(given["tags"]),
        reusable=given["reusable"],
        ephemeral=given["ephemeral"],
        lifetime_s=given["lifetime"],
    )

    def work() -> dict[str, Any]:
        if given["state"] == "present":
            return make_key(api, terms, given["node"], check=check).as_result()
        return revoke_key(api, given["id"], check=check).as_result()

    run(module, work)


if __name__ == "__main__":
    main()
