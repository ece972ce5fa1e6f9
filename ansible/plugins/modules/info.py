#!/usr/bin/python
"""Ansible module: what a host is in the mesh, and how far its routes are."""
# ruff: noqa: E402 - Ansible reads the documentation before anything else

from __future__ import annotations

DOCUMENTATION = r"""
module: info
short_description: Learn of a node, its routes and the coordinator, and wait for them
version_added: 0.1.0
description:
  - Tells how a host's node stands, how far each of its routes is, and on request what the
    coordinator on the host knows. No secret is among it.
  - With O(require) it waits until routes are advertised, approved, serving or proven, and fails
    with the evidence of the first step that is missing.
  - Talks to the programs on the host, so it runs there and needs O(become=true).
extends_documentation_fragment:
  - latchkey.mesh.attributes
  - latchkey.mesh.attributes.reading
  - latchkey.mesh.attributes.agent
  - latchkey.mesh.attributes.coordinator
options:
  gather:
    description: What to look at. V(coordinator) waits up to O(timeout) seconds for it to answer.
    type: list
    elements: str
    choices: [node, coordinator]
    default: [node]
  require:
    description: How far the routes must be; each step includes those before it.
    type: str
    choices: [advertised, approved, serving, proven]
  of:
    description: Whose routes must be that far, those that this node carries or those of peers.
    type: str
    choices: [own, peers]
    default: own
  routes:
    description: Which routes must be that far, V(exit) for the exit node; empty for all that there
      are.
    type: list
    elements: str
    default: []
  probe:
    description:
      - What to send something to, subnets or hosts in them; V(all) for all routes of peers that
        this node uses. With O(require) only while it is not fulfilled.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for what is required.
    type: int
    default: 60
author:
  - The Latchkey authors
"""

EXAMPLES = r"""
- name: Learn how the node stands
  latchkey.mesh.info:
  register: known

- name: Wait until the LAN can be used by others
  latchkey.mesh.info:
    require: serving
    routes: [192.168.1.0/24]

- name: Prove the LANs of the other houses from here
  latchkey.mesh.info:
    probe: [all]
    of: peers
    require: proven
"""

RETURN = r"""
node:
  description: The node of this host; without an agent only that it is not running.
  type: dict
  returned: when gathered
  sample: {running: true, joined: true, state: Running, name: home, addresses: [100.64.0.1]}
routes:
  description: The routes that this node carries, with each fact and its evidence.
  type: list
  elements: dict
  returned: when gathered
  sample: [{prefix: 192.168.1.0/24, advertised: true, approved: true, serving: true, proven: true}]
peer_routes:
  description: The routes of peers.
  type: list
  elements: dict
  returned: when gathered
coordinator:
  description: The coordinator on this host and its nodes.
  type: dict
  returned: when gathered
  sample: {running: true, server_url: 'https://mesh.example.org', connected: 3}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.latchkey.mesh.plugins.module_utils import outlook
from ansible_collections.latchkey.mesh.plugins.module_utils.task import run
from ansible_collections.latchkey.mesh.plugins.module_utils.unixapi import (
    AGENT,
    COORDINATOR,
    Api,
    NotRunningError,
)

SPEC = {
    "gather": {
        "type": "list",
        "elements": "str",
        "choices": ["node", "coordinator"],
        "default": ["node"],
    },
    "require": {"choices": ["advertised", "approved", "serving", "proven"]},
    "of": {"choices": ["own", "peers"], "default": "own"},
    "routes": {"type": "list", "elements": "str", "default": []},
    "probe": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "int", "default": 60},
    "socket": {"type": "path", "default": AGENT.socket},
    "admin_socket": {"type": "path", "default": COORDINATOR.socket},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(SPEC, supports_check_mode=True)
    given = module.params

    def work() -> dict[str, Any]:
        result: dict[str, Any] = {"changed": False}
        if "coordinator" in given["gather"]:
            result |= _coordinator(Api(COORDINATOR, given["admin_socket"]), given, module)
        if "node" in given["gather"]:
            result |= _node(Api(AGENT, given["socket"]), given)
        return result

    run(module, work)


def _coordinator(api: Api, given: dict[str, Any], module: AnsibleModule) -> dict[str, Any]:
    try:
        outlook.await_coordinator(api, 0 if module.check_mode else given["timeout"])
    except NotRunningError:
        if not module.check_mode:
            raise
    return {"coordinator": outlook.coordinator(api)}


def _node(api: Api, given: dict[str, Any]) -> dict[str, Any]:
    if given["require"]:
        wanted = outlook.Requirement(
            step=given["require"],
            of=given["of"],
            routes=tuple(given["routes"]),
            probe=tuple(given["probe"]),
            timeout_s=given["timeout"],
        )
        outlook.await_routes(api, wanted)
    node = outlook.node(api)
    if not node["running"]:
        return {"node": node, "routes": [], "peer_routes": []}
    if not given["require"]:
        outlook.probe(api, given["probe"])
    return {"node": node, **outlook.routes(api)}


if __name__ == "__main__":
    main()
