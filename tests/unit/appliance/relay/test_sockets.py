"""Ports, and the sentence when one cannot be had."""

import socket
from ipaddress import ip_address

import pytest

from appliance.exit_status import ExitStatus
from appliance.protocol.addresses import AddrPort
from appliance.relay.errors import PortError
from appliance.relay.sockets import bind_udp, listen_tcp


def test_both_families_reach_the_unspecified_address() -> None:
    with listen_tcp(AddrPort(ip_address("::"), 0)) as listening:
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port), timeout=5).close()


def test_a_port_in_use_is_named() -> None:
    address = ip_address("127.0.0.1")
    with listen_tcp(AddrPort(address, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"TCP port {port} is in use") as error:
            listen_tcp(AddrPort(address, port))
    assert error.value.status is ExitStatus.PORT_IN_USE


def test_a_udp_port_in_use_is_named() -> None:
    address = ip_address("127.0.0.1")
    with bind_udp(AddrPort(address, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError, match=f"UDP port {port} is in use"):
            bind_udp(AddrPort(address, port))


def test_a_foreign_address_is_named() -> None:
    with pytest.raises(PortError, match=r"192\.0\.2\.77 is not an address of this machine"):
        listen_tcp(AddrPort(ip_address("192.0.2.77"), 0))
