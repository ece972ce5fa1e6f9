import errno
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.dns.config import STUB_V4
from appliance.dns.errors import DnsError
from appliance.dns.os import resolvconf
from appliance.dns.os.resolvconf import ResolvConf, is_ours, parse_servers, render
from appliance.host.errors import FileProblemError
from appliance.protocol.addresses import AddrPort
from tests.support.patience import eventually, in_background

THEIRS = "# by the router\nsearch lan\nnameserver 192.168.1.1\n"
ROUTER = (AddrPort(ip_address("192.168.1.1"), 53),)


@pytest.fixture
def driver(tmp_path: Path) -> ResolvConf:
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "resolv.conf"
    path.write_text(THEIRS)
    path.chmod(0o640)
    return ResolvConf(tmp_path / "record.json", path)


def after_a_crash(driver: ResolvConf) -> ResolvConf:
    return ResolvConf(driver.record, driver.path)


def test_servers_are_read_as_the_c_library_reads_them() -> None:
    text = """
        # nameserver 9.9.9.9
        nameserver 192.168.1.1   # the router
        nameserver fe80::1%eth0
        nameserver nonsense
        nameserver
        nameserver 100.100.100.100
        nameserver 192.168.1.1
        nameserver 10.0.0.1
        nameserver 10.0.0.2
    """
    assert [str(one.ip) for one in parse_servers(text)] == [
        "192.168.1.1",
        "fe80::1%eth0",
        "10.0.0.1",
    ]


async def test_the_file_comes_back_as_it_was(driver: ResolvConf) -> None:
    await driver.point(STUB_V4)
    assert driver.path.read_text() == render(STUB_V4)
    assert driver.path.stat().st_mode & 0o777 == 0o644
    assert driver.upstreams() == ROUTER
    await driver.restore()
    assert driver.path.read_text() == THEIRS
    assert driver.path.stat().st_mode & 0o777 == 0o640
    assert not driver.record.exists()


async def test_it_comes_back_after_a_crash_too(driver: ResolvConf) -> None:
    await driver.point(STUB_V4)
    later = after_a_crash(driver)
    assert later.upstreams() == ROUTER
    await later.point(STUB_V4)
    await after_a_crash(driver).restore()
    assert driver.path.read_text() == THEIRS


async def test_a_crash_before_our_file_was_written_leaves_theirs(driver: ResolvConf) -> None:
    driver._remember(THEIRS)
    driver.path.write_text("nameserver 10.0.0.1\n")
    await after_a_crash(driver).restore()
    assert driver.path.read_text() == "nameserver 10.0.0.1\n"


async def test_a_link_comes_back_as_a_link_and_its_target_is_never_touched(
    driver: ResolvConf,
) -> None:
    target = driver.path.parent / "run.conf"
    driver.path.rename(target)
    driver.path.symlink_to("run.conf")
    await driver.point(STUB_V4)
    assert not driver.path.is_symlink()
    target.write_text("nameserver 10.0.0.1\n")
    assert driver.upstreams() == (AddrPort(ip_address("10.0.0.1"), 53),)
    await driver.restore()
    assert str(driver.path.readlink()) == "run.conf"
    assert target.read_text() == "nameserver 10.0.0.1\n"


async def test_a_dangling_link_comes_back(driver: ResolvConf) -> None:
    driver.path.unlink()
    driver.path.symlink_to("nowhere")
    await driver.point(STUB_V4)
    await driver.restore()
    assert str(driver.path.readlink()) == "nowhere"


async def test_where_there_was_no_file_there_is_none_afterwards(driver: ResolvConf) -> None:
    driver.path.unlink()
    await driver.point(STUB_V4)
    assert driver.upstreams() == ()
    await driver.restore()
    assert not driver.path.exists()


async def test_what_somebody_else_wrote_meanwhile_stays(driver: ResolvConf) -> None:
    await driver.point(STUB_V4)
    driver.path.write_text("nameserver 10.0.0.1\n")
    assert driver.upstreams() == (AddrPort(ip_address("10.0.0.1"), 53),)
    await driver.restore()
    assert driver.path.read_text() == "nameserver 10.0.0.1\n"


async def test_the_guard_puts_ours_back_and_remembers_theirs(
    driver: ResolvConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolvconf, "LOOK_S", 0.01)
    await driver.point(STUB_V4)
    async with in_background(driver.guard()):
        driver.path.write_text("nameserver 10.0.0.1\n")
        await eventually(lambda: is_ours(driver.path.read_text()))
    await driver.restore()
    assert driver.path.read_text() == "nameserver 10.0.0.1\n"


async def test_restoring_without_a_record_does_nothing(driver: ResolvConf) -> None:
    await driver.restore()
    assert driver.path.read_text() == THEIRS


async def test_a_damaged_record_is_no_reason_to_fail(driver: ResolvConf) -> None:
    await driver.point(STUB_V4)
    driver.record.write_bytes(b"{")
    assert driver.upstreams() == ()
    await driver.restore()
    assert not driver.record.exists()


async def test_bytes_that_are_no_text_come_back(driver: ResolvConf) -> None:
    odd = b"# caf\xe9 \xff\nnameserver 192.168.1.1\n"
    driver.path.write_bytes(odd)
    await driver.point(STUB_V4)
    await driver.restore()
    assert driver.path.read_bytes() == odd


async def test_a_file_that_is_a_mount_is_written_in_place(
    driver: ResolvConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = resolvconf.write_atomic

    def busy(path: Path, data: bytes, mode: int = 0o600) -> None:
        if path == driver.path:
            raise FileProblemError("busy") from OSError(errno.EBUSY, "busy")
        write(path, data, mode)

    monkeypatch.setattr(resolvconf, "write_atomic", busy)
    number = driver.path.stat().st_ino
    await driver.point(STUB_V4)
    assert is_ours(driver.path.read_text())
    await driver.restore()
    assert driver.path.read_text() == THEIRS
    assert driver.path.stat().st_ino == number


async def test_a_file_that_cannot_be_written_is_told(
    driver: ResolvConf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, _: bytes, __: int = 0) -> None:
        raise FileProblemError(f"{path} cannot be written")

    monkeypatch.setattr(resolvconf, "write_atomic", refuse)
    with pytest.raises(DnsError, match="names are not looked up"):
        await driver.point(STUB_V4)
    assert driver.path.read_text() == THEIRS


async def test_a_file_too_large_to_be_one_is_left_alone(driver: ResolvConf) -> None:
    driver.path.write_bytes(b"#" * (resolvconf.MAX_BYTES + 1))
    with pytest.raises(DnsError):
        await driver.point(STUB_V4)
