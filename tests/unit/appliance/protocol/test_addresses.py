from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.protocol.addresses import (
    AddrPort,
    ip_from_16,
    ip_to_16,
    parse_ip,
    parse_network,
)
from appliance.protocol.errors import ProtocolError

ADDRESSES = st.ip_addresses()
PORTS = st.integers(0, 65535)


@given(ADDRESSES, PORTS)
def test_an_address_and_port_survive_their_text_form(address: IPv4Address, port: int) -> None:
    assert AddrPort.parse(str(AddrPort(address, port))) == AddrPort(address, port)


@given(st.ip_addresses(v=4))
def test_ipv4_travels_mapped_and_comes_back_plain(address: IPv4Address) -> None:
    assert ip_from_16(ip_to_16(address)) == address


def test_ipv6_travels_as_it_is() -> None:
    address = IPv6Address("2001:db8::7")
    assert ip_to_16(address) == address.packed
    assert ip_from_16(address.packed) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:65536",
        "2001:db8::1:80",
        "[1.2.3.4:5",
        "x:1",
        "1.2.3.4:¹",
    ],
)
def test_what_is_no_address_and_port_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        AddrPort.parse(text)


def test_host_bits_are_refused() -> None:
    with pytest.raises(ProtocolError, match="host bits"):
        parse_network("192.168.1.7/24")


def test_a_bare_address_is_a_network_of_one() -> None:
    assert parse_network("192.168.1.7").prefixlen == 32


@given(st.text(max_size=50))
def test_any_text_is_an_address_or_a_protocol_error(text: str) -> None:
    with suppress(ProtocolError):
        assert parse_ip(text) == ip_address(text)
