import socket
import threading

import pytest

from ansible.plugins.module_utils.unixapi import (
    AGENT,
    COORDINATOR,
    Api,
    ApiError,
    NotRunningError,
    part,
)
from appliance.adminapi import client as admin
from appliance.localapi import client as local
from tests.support.scriptedapi import Refusal, scripted_api


def test_sockets_and_prefixes_are_those_of_the_programs() -> None:
    assert (AGENT.socket, AGENT.prefix) == (str(local.DEFAULT_SOCKET), local.PREFIX)
    assert (COORDINATOR.socket, COORDINATOR.prefix) == (str(admin.DEFAULT_SOCKET), admin.PREFIX)


def test_an_answer_is_its_json(tmp_path) -> None:
    with scripted_api(tmp_path / "s") as served:
        served.answers["GET", "/status"] = {"BackendState": "Running"}
        assert Api(AGENT, str(tmp_path / "s")).get("/status") == {"BackendState": "Running"}


def test_a_refusal_keeps_its_sentence_and_its_code(tmp_path) -> None:
    with scripted_api(tmp_path / "s") as served:
        served.answers["POST", "/up"] = Refusal("key-expired", "This key expired.")
        with pytest.raises(ApiError, match=r"^This key expired\.$") as caught:
            Api(AGENT, str(tmp_path / "s")).post("/up", {})
    assert caught.value.code == "key-expired"


@pytest.mark.parametrize("program", [AGENT, COORDINATOR])
def test_nobody_there_says_what_to_start(tmp_path, program) -> None:
    with pytest.raises(NotRunningError, match=f"systemctl start {program.unit}") as caught:
        Api(program, str(tmp_path / "none")).get("/status")
    assert caught.value.code == f"{program.name}-not-running"


def test_something_else_on_the_socket_is_said(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()

        def answer() -> None:
            peer, _ = sock.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ApiError, match="cannot be read"):
            Api(AGENT, str(tmp_path / "s")).get("/status")
        thread.join()


def test_a_program_that_hangs_is_not_waited_for(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()
        with pytest.raises(ApiError, match=r"did not answer within 0\.05 s"):
            Api(AGENT, str(tmp_path / "s")).get("/status", 0.05)


def test_a_broken_connection_is_said(tmp_path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen()

        def hang_up() -> None:
            sock.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(ApiError, match="The agent broke off"):
            Api(AGENT, str(tmp_path / "s")).get("/status")
        thread.join()


def test_names_cannot_leave_their_part_of_a_path() -> None:
    assert part("a/../b c") == "a%2F..%2Fb%20c"
