from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from appliance.coordinator.errors import RefusedError
from appliance.coordinator.ipam import Pool, next_offset

SMALL = Pool(IPv4Network("100.64.0.0/29"), IPv6Network("fd7a:115c:a1e0::/120"))


def test_both_addresses_of_a_node_have_the_same_number() -> None:
    assert Pool().pair(7) == (IPv4Address("100.64.0.7"), IPv6Address("fd7a:115c:a1e0::7"))


def test_numbers_are_given_out_in_order() -> None:
    assert next_offset(Pool(), 0, ()) == 1
    assert next_offset(Pool(), 41, ()) == 42


def test_a_freed_address_is_not_given_out_again_at_once() -> None:
    taken = {IPv4Address("100.64.0.1")}
    assert next_offset(SMALL, 2, taken) == 3


def test_a_freed_address_comes_round_again() -> None:
    taken = {IPv4Address("100.64.0.0") + n for n in (1, 3, 4, 5, 6)}
    assert next_offset(SMALL, 6, taken) == 2


def test_network_and_broadcast_addresses_stay_free() -> None:
    assert next_offset(SMALL, 6, ()) == 1


@pytest.mark.parametrize(
    ("last", "reserved"),
    [
        (0x52, "fd7a:115c:a1e0::53"),
        (int(IPv4Address("100.100.99.255")) - int(IPv4Address("100.64.0.0")), "100.100.100.0/24"),
        (int(IPv4Address("100.115.91.255")) - int(IPv4Address("100.64.0.0")), "100.115.92.0/23"),
    ],
)
def test_reserved_addresses_are_skipped(last: int, reserved: str) -> None:
    v4, v6 = Pool().pair(next_offset(Pool(), last, ()))
    network = IPv6Network(reserved) if ":" in reserved else IPv4Network(reserved)
    assert (v6 if network.version == 6 else v4) not in network


def test_a_full_range_is_said_so() -> None:
    taken = {IPv4Address("100.64.0.0") + n for n in range(8)}
    with pytest.raises(RefusedError, match=r"All addresses of 100\.64\.0\.0/29 are in use"):
        next_offset(SMALL, 0, taken)
