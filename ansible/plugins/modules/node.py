#!/usr/bin/python
"""Ansible module: a node as the coordinator knows it."""
# ruff: noqa: E402 - Ansible reads the documentation before anything else

from __future__ import annotations

DOCUMENTATION = r"""
module: node
short_description: Name, tag, approve or delete a node at the coordinator
version_added: 0.1.0
description:
  - Approves the routes that a node may carry, gives it tags and a name, or deletes it.
  - Talks to the coordinator on the host, so it runs there (O(delegate_to)) and needs
    O(become=true).
extends_documentation_fragment:
  - latchkey.mesh.attributes
  - latchkey.mesh.attributes.changing
  - latchkey.mesh.attributes.coordinator
options:
  node:
    description: Which node, by name, address or ID.
    type: str
    required: true
  state:
    description: Whether the node is to be as described, or not to be at all.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Another name for it, in place of the one that follows from its host name.
    type: str
  tags:
    description: Tags that own it, in place of its user. An empty list leaves them alone, because
      there is no way back from tags to a user but a new login.
    type: list
    elements: str
  routes:
    description: Subnets that it may carry, and V(exit) for all traffic. Left out, approvals stay
      as they are.
    type: list
    elements: str
  exact:
    description: Whether other approvals are taken away.
    type: bool
    default: true
seealso:
  - module: latchkey.mesh.prefs
  - module: latchkey.mesh.info
author:
  - The Latchkey authors
"""

EXAMPLES = r"""
- name: Let the gateway carry its LAN and all traffic
  latchkey.mesh.node:
    node: home
    tags: ['tag:gateway']
    routes: [192.168.1.0/24, exit]
  delegate_to: vps

- name: Forget a node
  latchkey.mesh.node:
    node: old-laptop
    state: absent
"""

RETURN = r"""
node:
  description: The node as it was found.
  type: dict
  returned: when there is such a node
  sample: {id: 1, name: home, fqdn: home.mesh.internal, addresses: [100.64.0.1], online: true}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.latchkey.mesh.plugins.module_utils.admin import delete_node, settle_node
from ansible_collections.latchkey.mesh.plugins.module_utils.roster import Wanted
from ansible_collections.latchkey.mesh.plugins.module_utils.task import diff, run
from ansible_collections.latchkey.mesh.plugins.module_utils.unixapi import COORDINATOR, Api

SPEC = {
    "node": {"required": True},
    "state": {"choices": ["present", "absent"], "default": "present"},
    "name": {},
    "tags": {"type": "list", "elements": "str"},
    "routes": {"type": "list", "elements": "str"},
    "exact": {"type": "bool", "default": True},
    "admin_socket": {"type": "path", "default": COORDINATOR.socket},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(SPEC, supports_check_mode=True)
    given, check = module.params, module.check_mode
    api = Api(COORDINATOR, given["admin_socket"])
    wanted = Wanted(
        name=given["name"],
        tags=None if given["tags"] is None else tuple(given["tags"]),
        routes=None if given["routes"] is None else tuple(given["routes"]),
        only_these=given["exact"],
    )

    def work() -> dict[str, Any]:
        if given["state"] == "present":
            done = settle_node(api, given["node"], wanted, check=check)
        else:
            done = delete_node(api, given["node"], check=check)
        return {**done.as_result(), "diff": diff(done.before, done.after)}

    run(module, work)


if __name__ == "__main__":
    main()
