import stat
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.adminapi.client import AdminClient
from appliance.adminapi.errors import AdminApiError
from appliance.agent.coordinatorfile import (
    CoordinatorDesk,
    CoordinatorFile,
    Membership,
    check_domain,
    check_url,
)
from appliance.agent.settings import Settings
from appliance.coordinator.settings import SETUP_CONFIG, load_settings
from appliance.localapi.server import BackendError
from appliance.localapi.types import BeCoordinator

URL = "http://192.168.1.10:8080"
OWN = (ip_address("192.168.1.10"), ip_address("fd4c:7a11::10"), ip_address("203.0.113.9"))
ALONE = Membership(addresses=OWN)
REQUEST = BeCoordinator(server_url=URL)


class Others:
    """The coordinator's admin API, which has so many nodes."""

    def __init__(self, nodes: int = 0) -> None:
        self.count = nodes

    def nodes(self) -> Any:
        return SimpleNamespace(nodes=tuple(range(self.count)))


class Deaf:
    def nodes(self) -> Any:
        raise AdminApiError("The coordinator did not answer in time.", "timeout")


def file(tmp_path: Path, admin: object = None) -> CoordinatorFile:
    (tmp_path / "settings").mkdir(exist_ok=True)
    client: Callable[[], Any] = lambda: admin or AdminClient(tmp_path / "nobody")  # noqa: E731
    return CoordinatorFile(tmp_path / "settings" / "c.toml", client, tmp_path / "owners.toml")


def test_a_coordinator_starts_from_what_is_written(tmp_path: Path) -> None:
    role = file(tmp_path).write(BeCoordinator(server_url=URL + "/", base_domain="Home.lan"), ALONE)
    assert (role.configured, role.server_url, role.base_domain) == (True, URL, "home.lan")
    path = tmp_path / "settings" / "c.toml"
    settings = load_settings(path)
    assert settings.url == URL
    assert settings.listen_address == ("", 8080)
    assert settings.relay_listen_address == ("", 8443)
    assert settings.admin_group == "latchkey-admin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.stat().st_gid == path.parent.stat().st_gid


def test_agent_and_coordinator_mean_the_same_file() -> None:
    assert Settings().coordinator_settings == SETUP_CONFIG


def test_a_fresh_machine_may_become_one_and_one_that_is_may_stop(tmp_path: Path) -> None:
    here = file(tmp_path)
    assert here.role(ALONE).available
    here.write(REQUEST, ALONE)
    assert not here.role(ALONE).available
    assert here.delete(ALONE).available
    assert here.delete(ALONE).available


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    here = file(tmp_path)
    here.write(REQUEST, ALONE)
    before = (tmp_path / "settings" / "c.toml").stat().st_ino
    busy = Membership(mesh_url=URL, has_peers=True, addresses=OWN)
    assert here.write(REQUEST, busy).configured
    assert (tmp_path / "settings" / "c.toml").stat().st_ino == before


def test_the_owners_own_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "owners.toml").write_text('server_url = "https://vpn.example.org"')
    here = file(tmp_path)
    role = here.role(ALONE)
    assert (role.by_hand, role.available) == (True, False)
    for change in (lambda: here.write(REQUEST, ALONE), lambda: here.delete(ALONE)):
        with pytest.raises(BackendError, match=r"owners\.toml") as caught:
            change()
        assert caught.value.code == "conflict"
    assert not (tmp_path / "settings" / "c.toml").exists()


def test_a_node_of_another_mesh_becomes_none(tmp_path: Path) -> None:
    here = file(tmp_path)
    member = Membership(mesh_url="https://vpn.example.org", addresses=OWN)
    assert "vpn.example.org" in here.role(member).reason
    with pytest.raises(BackendError, match="already in the mesh") as caught:
        here.write(REQUEST, member)
    assert caught.value.code == "conflict"


@pytest.mark.parametrize(
    ("member", "admin"),
    [
        (Membership(mesh_url=URL, has_peers=True, addresses=OWN), None),
        (Membership(mesh_url=URL, addresses=OWN), Others(2)),
        (Membership(mesh_url=URL, addresses=OWN), Deaf()),
    ],
)
def test_whoever_has_joined_keeps_the_coordinator(
    tmp_path: Path, member: Membership, admin: object
) -> None:
    here = file(tmp_path, admin)
    here.write(REQUEST, ALONE)
    moved = BeCoordinator(server_url="http://192.168.1.10:9090")
    for change in (lambda: here.delete(member), lambda: here.write(moved, member)):
        with pytest.raises(BackendError) as caught:
            change()
        assert caught.value.code == "conflict"
    assert here.role(ALONE).server_url == URL


def test_alone_in_its_mesh_it_may_move(tmp_path: Path) -> None:
    here = file(tmp_path, Others(1))
    here.write(REQUEST, ALONE)
    moved = BeCoordinator(server_url="http://192.168.1.10:9090")
    assert here.write(moved, ALONE).server_url == moved.server_url


def test_a_machine_without_the_package_says_so(tmp_path: Path) -> None:
    here = file(tmp_path)
    (tmp_path / "settings").rmdir()
    with pytest.raises(BackendError, match="Install the package") as caught:
        here.write(REQUEST, ALONE)
    assert caught.value.code == "state-unusable"


def test_a_mangled_file_counts_as_none(tmp_path: Path) -> None:
    here = file(tmp_path)
    (tmp_path / "settings" / "c.toml").write_bytes(b"\xff\xfe =")
    assert not here.role(ALONE).configured
    assert here.write(REQUEST, ALONE).configured


@pytest.mark.parametrize(
    ("text", "url", "port"),
    [
        ("http://192.168.1.10:8080", "http://192.168.1.10:8080", 8080),
        ("http://[fd4c:7a11::10]:8080/", "http://[fd4c:7a11::10]:8080", 8080),
        ("http://Latchkey.local:81", "http://latchkey.local:81", 81),
        ("http://203.0.113.9:443", "http://203.0.113.9:443", 443),
        ("https://vpn.example.org", "https://vpn.example.org", 8080),
        ("https://vpn.example.org:8443", "https://vpn.example.org:8443", 8080),
    ],
)
def test_addresses_that_nodes_can_log_in_to(text: str, url: str, port: int) -> None:
    assert check_url(text, (*OWN, ip_address("203.0.113.9"))) == (url, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not an address that nodes"),
        ("192.168.1.10:8080", "not an address that nodes"),
        ("ftp://192.168.1.10", "not an address that nodes"),
        ("http://", "not an address that nodes"),
        ("http://me:secret@192.168.1.10:8080", "not an address that nodes"),
        ("http://192.168.1.10:8080/mesh", "must end after the port"),
        ("http://192.168.1.10:8080?a=b", "must end after the port"),
        ("http://192.168.1.10:8080#a", "must end after the port"),
        ("http://192.168.1.10", "belongs to the setup page"),
        ("http://192.168.1.10:80", "belongs to the setup page"),
        ("http://192.168.1.10:8443", "belongs to the relay"),
        ("http://192.168.1.10:0", "not a port"),
        ("http://192.168.1.10:70000", "not an address"),
        ("http://192.168.1.10:x", "not an address"),
        ("http://192.168.1.99:8080", "not an address of this machine"),
        ("http://127.0.0.1:8080", "cannot find"),
        ("http://localhost:8080", "cannot find"),
        ("http://0.0.0.0:8080", "cannot find"),
        ("http://[::1]:8080", "cannot find"),
        ("http://[fe80::1]:8080", "cannot find"),
        ("http://100.64.0.1:8080", "inside the mesh"),
        ("http://[fd7a:115c:a1e0::1]:8080", "inside the mesh"),
        ("http://192.168.1:8080", "cannot find"),
        ("http://a_b:8080", "not the name of a machine"),
        ('http://x"y:8080', "not the name of a machine"),
        ("http://x\ny:8080", "is not an address"),
        ("http://\u0430.example:8080", "is not an address"),
        ("http://[::1:8080", "not an address"),
        ("http://" + "a" * 300 + ":8080", "not the name of a machine"),
    ],
)
def test_addresses_that_they_cannot(text: str, why: str) -> None:
    with pytest.raises(BackendError, match=why) as caught:
        check_url(text, OWN)
    assert caught.value.code == "invalid"
    assert "http://192.168.1.10:8080" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "a b", "mesh.internal\n[tls]", "-a.b", "a" * 200]
)
def test_domains_that_are_none(text: str) -> None:
    with pytest.raises(BackendError, match="not a domain"):
        check_domain(text, "192.168.1.10")


def test_the_mesh_must_not_hold_its_coordinator() -> None:
    with pytest.raises(BackendError, match="inside the mesh"):
        check_domain("example.org", "vpn.example.org")


async def test_the_event_loop_asks_the_same(tmp_path: Path) -> None:
    desk = CoordinatorDesk(file(tmp_path), lambda: ALONE)
    assert (await desk.role()).available
    assert (await desk.write(REQUEST)).configured
    assert not (await desk.delete()).configured
