from __future__ import annotations

import os
import socket

import pytest

from appliance.host.capabilities import CAP_NET_ADMIN, has_capability
from appliance.host.marks import FWMARK, connect_marked, open_marked

may_mark = pytest.mark.skipif(not has_capability(CAP_NET_ADMIN), reason="needs CAP_NET_ADMIN")


@may_mark
def test_a_socket_carries_the_mark_and_does_not_block() -> None:
    with open_marked(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == FWMARK
        assert opened.gettimeout() == 0


def test_mark_0_means_none_and_needs_no_privilege() -> None:
    with open_marked(socket.AF_INET, socket.SOCK_DGRAM, 0) as opened:
        assert opened.gettimeout() == 0


@may_mark
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_connection_carries_the_mark(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        connected = await connect_marked((host, server.getsockname()[1]))
        with connected:
            assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == FWMARK
            assert connected.getpeername()[:2] == server.getsockname()[:2]


@may_mark
async def test_a_refused_connection_leaves_no_socket_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await connect_marked(("127.0.0.1", port))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_has_the_capability() -> None:
    assert has_capability(CAP_NET_ADMIN)
    assert not has_capability(63)
