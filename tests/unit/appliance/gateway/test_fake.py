from __future__ import annotations

import ipaddress
from dataclasses import replace

from appliance.gateway.config import GatewayConfig
from appliance.gateway.driver import Gateway
from appliance.gateway.fake import FakeGateway

CONFIG = GatewayConfig("latchkey0", (), 41641, 0x80000)


async def test_it_remembers_configs_that_differ() -> None:
    fake = FakeGateway()
    gateway: Gateway = fake
    assert not (await gateway.observe()).ruleset
    await gateway.apply(CONFIG)
    await gateway.apply(CONFIG)
    exit_user = replace(CONFIG, use_exit=True, serve_exit=True)
    await gateway.apply(exit_user)
    assert fake.applied == [CONFIG, exit_user]
    status = await gateway.observe()
    assert status.ruleset
    assert ipaddress.ip_network("0.0.0.0/0") in status.routes
    assert status.forwarding_ipv4
    await gateway.clean_up()
    assert fake.config is None
