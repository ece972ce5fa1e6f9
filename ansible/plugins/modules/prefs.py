#!/usr/bin/python
"""Ansible module: one node's prefs and its membership in a mesh."""
# ruff: noqa: E402 - Ansible reads the documentation before anything else

from __future__ import annotations

DOCUMENTATION = r"""
module: prefs
short_description: Make a node's prefs and its membership what they should be
version_added: 0.1.0
description:
  - Changes what a node advertises and uses, and has it join a mesh or leave it.
  - Talks to the agent on the host, so it runs there and needs O(become=true).
  - What can be refused is refused before anything changes; a join that fails is taken back.
  - A host that is part of another mesh is left alone, with a sentence that says so.
extends_documentation_fragment:
  - latchkey.mesh.attributes
  - latchkey.mesh.attributes.changing
  - latchkey.mesh.attributes.agent
options:
  state:
    description:
      - With V(present) only the prefs are changed.
      - With V(joined) the node is also connected, and joins the mesh of O(login_server) with
        O(auth_key) if it is not part of it.
      - With V(stopped) it is disconnected and every change to the host is undone; the login stays.
      - With V(left) the login is given up, too.
    type: str
    choices: [present, joined, stopped, left]
    default: present
  login_server:
    description: The coordinator's URL; needed to join.
    type: str
    default: ''
  auth_key:
    description:
      - A pre-auth key, see M(latchkey.mesh.preauth_key). Used only where the node is not joined.
      - Goes into the body of one request on the agent's socket, and nowhere else.
    type: str
    default: ''
  prefs:
    description:
      - Prefs by the names that C(latchkey set --json) prints; those that are left out stay.
      - C(hostname) text; C(advertise_routes) a list of subnets, C(auto) for those that are found;
        C(advertise_exit_node), C(accept_routes), C(exit_node_allow_lan_access),
        C(snat_subnet_routes), C(shields_up), C(accept_dns) true or false; C(exit_node) a name,
        an address or C(auto:any).
      - The agent on the host says what exists; a misspelt name is refused with a hint.
    type: dict
    default: {}
  timeout:
    description: Seconds to wait until a join is complete.
    type: int
    default: 90
seealso:
  - module: latchkey.mesh.preauth_key
  - module: latchkey.mesh.node
author:
  - The Latchkey authors
"""

EXAMPLES = r"""
- name: Advertise the LAN and offer the exit node
  latchkey.mesh.prefs:
    prefs:
      advertise_routes: [192.168.1.0/24]
      advertise_exit_node: true

- name: Join the mesh
  latchkey.mesh.prefs:
    state: joined
    login_server: https://mesh.example.org
    auth_key: "{{ made.key }}"
    prefs:
      hostname: home

- name: Take a node out of its mesh
  latchkey.mesh.prefs:
    state: left
"""

RETURN = r"""
state:
  description: Where the node stands, in the agent's words.
  type: str
  returned: success
  sample: Running
prefs:
  description: All prefs as they are now, or as they would be.
  type: dict
  returned: success
  sample: {advertise_routes: [192.168.1.0/24], hostname: home}
code:
  description: The failure's name, as in the table of exit statuses.
  type: str
  returned: failure
  sample: key-expired
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.latchkey.mesh.plugins.module_utils.membership import Wish, settle
from ansible_collections.latchkey.mesh.plugins.module_utils.task import diff, run
from ansible_collections.latchkey.mesh.plugins.module_utils.unixapi import AGENT, Api

SPEC = {
    "state": {"choices": ["present", "joined", "stopped", "left"], "default": "present"},
    "login_server": {"default": ""},
    "auth_key": {"default": "", "no_log": True},
    "prefs": {"type": "dict", "default": {}},
    "timeout": {"type": "int", "default": 90},
    "socket": {"type": "path", "default": AGENT.socket},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        SPEC, supports_check_mode=True, required_if=[("state", "joined", ["login_server"])]
    )
    given = module.params
    wish = Wish(
        state=given["state"],
        prefs=given["prefs"],
        login_server=given["login_server"],
        auth_key=given["auth_key"],
        timeout_s=given["timeout"],
    )

    def work() -> dict[str, Any]:
        done = settle(Api(AGENT, given["socket"]), wish, check=module.check_mode)
        return {
            "changed": done.changed,
            "state": done.state,
            "prefs": {name: value for name, value in done.after.items() if name != "joined"},
            "diff": diff(done.before, done.after),
            "warnings": done.warnings,
        }

    run(module, work)


if __name__ == "__main__":
    main()
