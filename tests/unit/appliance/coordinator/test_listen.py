import socket

import pytest

from appliance.coordinator.errors import StartError
from appliance.coordinator.listen import load_tls, open_listener
from appliance.coordinator.settings import TlsSettings
from appliance.exit_status import ExitStatus


def test_an_empty_host_listens_on_every_address() -> None:
    with open_listener("", 0) as sock:
        port = sock.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if sock.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()


def test_a_port_can_be_taken_only_once() -> None:
    with open_listener("127.0.0.1", 0) as sock:
        with pytest.raises(StartError, match="Another program listens on") as caught:
            open_listener("127.0.0.1", sock.getsockname()[1])
        assert caught.value.status is ExitStatus.PORT_IN_USE


def test_an_address_of_another_machine_is_said_so() -> None:
    with pytest.raises(StartError, match="Set listen to an address of this machine"):
        open_listener("203.0.113.5", 0)


def test_without_a_certificate_there_is_no_tls() -> None:
    assert load_tls(TlsSettings()) is None
