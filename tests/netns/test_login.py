"""Logging in without a key: the command shows where, an admin approves, the command returns.

node ──── vps (coordinator and relay)
198.51.100.0/24
"""

from __future__ import annotations

import re

from tests.netns.lab import Lab, wait_until
from tests.support.coordinator import Coordinator
from tests.support.mesh import AgentNode


def test_an_admin_lets_a_device_in_from_the_command_line(lab: Lab) -> None:
    street = lab.public("street", "198.51.100.0/24")
    vps, host = street.host("vps", 10), street.host("node", 20)
    lab.build()
    coordinator = Coordinator(vps)
    coordinator.start()
    coordinator.new_user("alice")
    agent = AgentNode(host, coordinator.new_key("alice"))
    agent.start()
    up = host.start(
        "up",
        [*agent.cli(), "up", f"--login-server={coordinator.url}", "--hostname=node"],
        agent.daemon_env(),
    )
    url = up.wait_for_line(r"https://\S+/register/(\w+)")
    assert agent.status()["BackendState"] == "NeedsLogin"
    page = host.http_get(
        vps.ip, f"/register/{url.group(1)}", port=443, trust=coordinator.authority.context()
    )
    assert re.search(rf"latchkey admin nodes register {url.group(1)}", page)
    [pending] = coordinator.admin("nodes", "pending")["pending"]
    assert pending["hostname"] == "node"
    coordinator.admin("nodes", "register", url.group(1), "--user", "alice")
    assert up.wait(10) == 0
    wait_until(lambda: agent.status()["BackendState"] == "Running", 5, "the node runs")
    assert coordinator.node("node")["user"] == "alice"


def test_a_device_that_an_admin_turns_away_is_told(lab: Lab) -> None:
    street = lab.public("street", "198.51.100.0/24")
    vps, host = street.host("vps", 10), street.host("node", 20)
    lab.build()
    coordinator = Coordinator(vps)
    coordinator.start()
    agent = AgentNode(host, coordinator.new_key(_new_user(coordinator)))
    agent.start()
    up = host.start(
        "up", [*agent.cli(), "up", f"--login-server={coordinator.url}"], agent.daemon_env()
    )
    url = up.wait_for_line(r"https://\S+/register/(\w+)")
    coordinator.admin("nodes", "reject", url.group(1))
    assert up.wait(10) == 20
    assert "latchkey: " in up.text()


def _new_user(coordinator: Coordinator) -> str:
    coordinator.new_user("alice")
    return "alice"
