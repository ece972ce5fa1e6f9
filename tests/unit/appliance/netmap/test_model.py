from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from appliance.netmap.model import (
    NetworkMap,
    allowed_ips_of,
    endpoints_of,
    home_relay_of,
    is_expired,
    offers_exit,
    short_name,
)
from appliance.protocol.addresses import AddrPort
from appliance.protocol.keys import NodePublic
from appliance.protocol.tailcfg import ZERO_TIME, Node

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEFAULTS = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def node(**fields: Any) -> Node:
    return Node(**{"id": 1, "key": NodePublic(bytes(32)), "name": "home.example.ts.", **fields})


def test_a_peer_is_found_by_address_and_by_either_form_of_its_name() -> None:
    peer = node(addresses=(ip_network("100.64.0.7/32"),))
    netmap = NetworkMap(node(), {1: peer})
    assert netmap.peer_by_ip(ip_address("100.64.0.7")) is peer
    assert netmap.peer_by_name("home") is peer
    assert netmap.peer_by_name("HOME.example.ts") is peer
    assert netmap.peer_by_name("example") is None
    assert short_name(peer) == "home"


def test_unreadable_and_repeated_endpoints_are_skipped() -> None:
    texts = ("192.0.2.1:1", "nonsense", "192.0.2.1:1", "[2001:db8::1]:2")
    assert endpoints_of(node(endpoints=texts)) == (
        AddrPort(ip_address("192.0.2.1"), 1),
        AddrPort(ip_address("2001:db8::1"), 2),
    )


def test_absent_allowed_ips_mean_the_addresses() -> None:
    address = (ip_network("100.64.0.7/32"),)
    assert allowed_ips_of(node(addresses=address)) == address
    assert allowed_ips_of(node(addresses=address, allowed_ips=())) == ()


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({"home_derp": 5, "derp": "127.3.3.40:6"}, 5),
        ({"derp": "127.3.3.40:6"}, 6),
        ({}, 0),
        ({"derp": "127.3.3.40:x"}, 0),
    ],
)
def test_the_home_relay_comes_from_either_field(fields: dict[str, Any], region: int) -> None:
    assert home_relay_of(node(**fields)) == region


def test_keys_expire_by_time_or_by_word() -> None:
    assert is_expired(node(expired=True), NOW)
    assert is_expired(node(key_expiry=NOW), NOW)
    assert not is_expired(node(key_expiry=ZERO_TIME), NOW)
    assert not is_expired(node(), NOW)


def test_an_exit_node_has_both_default_routes() -> None:
    assert offers_exit(node(allowed_ips=DEFAULTS))
    assert not offers_exit(node(allowed_ips=DEFAULTS[:1]))
    assert not offers_exit(node())
