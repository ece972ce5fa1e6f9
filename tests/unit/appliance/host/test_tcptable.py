import socket
import sys
from ipaddress import ip_address

import pytest

from appliance.host.tcptable import Connection, parse_line, read_connections

# From Linux 6.12 on x86-64: 100.64.0.1 to 192.168.1.20 port 80.
LINE = "   3: 01004064:9C42 1401A8C0:0050 {} 00000000:00000000 00:00000000 00000000 0 0 8321"
LINE6 = (
    "  1: 0000000000000000FFFF000001004064:9C42 0000000000000000FFFF00001401A8C0:0050 01 "
    "00000000:00000000 00:00000000 00000000 0 0 1"
)


@pytest.mark.skipif(sys.byteorder == "big", reason="the lines are from a little-endian machine")
@pytest.mark.parametrize(("state", "counts"), [("01", True), ("06", True), ("02", False)])
def test_what_both_sides_spoke_on_counts(state: str, counts: bool) -> None:
    wanted = Connection(ip_address("100.64.0.1"), ip_address("192.168.1.20"), 80)
    assert parse_line(LINE.format(state)) == (wanted if counts else None)


@pytest.mark.skipif(sys.byteorder == "big", reason="the lines are from a little-endian machine")
def test_ipv4_in_an_ipv6_socket_is_ipv4() -> None:
    found = parse_line(LINE6)
    assert found is not None
    assert found.remote == ip_address("192.168.1.20")


@pytest.mark.parametrize(
    "line", ["", "  sl  local_address rem_address   st", "1: x y z", "1: A B 01"]
)
def test_what_is_no_connection_is_skipped(line: str) -> None:
    assert parse_line(line) is None


def test_a_connection_of_ours_is_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()),
    ):
        port = server.getsockname()[1]
        assert any(one.port == port for one in read_connections())
