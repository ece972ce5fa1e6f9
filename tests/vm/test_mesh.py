"""The whole mesh on the kernel's own WireGuard: two agents behind NATs, found, lost, found again.

left ── left router ──┬── internet ──┬── right router ── right
                     vps (coordinator + relay)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.dataplane.kernel import kernel_has_wireguard
from appliance.localapi.client import LocalClient
from appliance.localapi.types import PeerStatus
from tests.netns.lab import LabError, wait_until
from tests.netns.topologies import two_homes
from tests.support.coordinator import RELAY, Coordinator
from tests.support.labs import fresh_lab, why_no_lab
from tests.support.mesh import AgentNode
from tests.support.pulse import Pulse

FOUND_S = 10.0


@pytest.mark.netns
@pytest.mark.timeout(240)
def test_two_agents_with_kernel_wireguard_find_each_other_through_their_nats() -> None:
    reason = why_no_lab() or (None if kernel_has_wireguard() else "this kernel has no WireGuard")
    if reason:
        pytest.skip(reason)
    with fresh_lab() as lab:
        world = two_homes(lab)
        coordinator = Coordinator(world.vps)
        coordinator.start()
        coordinator.new_user("family")
        key = coordinator.new_key("family", "--reusable")
        left, right = AgentNode(world.left, key), AgentNode(world.right, key)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(AgentNode.up, (left, right)))

        def seen() -> PeerStatus:
            return next(iter(LocalClient(left.socket).status().peers.values()), PeerStatus())

        address = wait_until(lambda: seen().tailscale_ips, FOUND_S, "left knows right")[0]

        def pings() -> bool:
            try:
                with Pulse(left.host, address) as pulse:
                    pulse.wait_for_answers(1, 1)
            except LabError:
                return False
            return True

        def direct() -> str:
            return seen().cur_addr if pings() else ""

        for node in (left, right):
            assert " wireguard " in node.host.run(["ip", "-d", "link", "show", "latchkey0"])
        found = wait_until(direct, FOUND_S, "the path is direct")
        assert found.startswith(f"{world.right_router.ip}:")

        assert left.daemon is not None
        left.daemon.kill()
        assert pings(), "the kernel's tunnel outlives the agent"
        left.start()
        wait_until(direct, FOUND_S, "the path is direct with a new agent")

        world.left_router.block()
        wait_until(pings, FOUND_S, "the relay carries what UDP cannot")
        assert (seen().cur_addr, seen().relay) == ("", RELAY)
