from __future__ import annotations

import ipaddress

import pytest

from appliance.gateway.zones import internet
from tests.support.rulesets import networks


@pytest.mark.parametrize(
    ("address", "is_internet"),
    [
        ("8.8.8.8", True),
        ("203.0.113.9", True),
        ("198.51.100.0", False),  # local
        ("198.51.101.0", True),
        ("10.1.2.3", False),
        ("192.168.77.1", False),
        ("172.31.255.255", False),
        ("172.32.0.0", True),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("100.128.0.1", True),
        ("127.0.0.1", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("2001:4860::8888", True),
        ("2001:db8:1::5", False),  # local
        ("2001:db8:2::5", True),
        ("64:ff9b::808:808", True),
        ("fd00::1", False),
        ("fd7a:115c:a1e0::1", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::1", False),
    ],
)
def test_an_exit_node_gives_the_internet_and_nothing_near(address: str, is_internet: bool) -> None:
    local = networks("198.51.100.0/24", "2001:db8:1::/64")
    ip = ipaddress.ip_address(address)
    found = any(r.first <= int(ip) <= r.last for r in internet(local, ip.version))
    assert found is is_internet
