from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.dns.os import choose
from appliance.dns.os.choose import choose_host_resolvers, own_servers
from appliance.dns.os.resolvconf import ResolvConf
from appliance.protocol.addresses import AddrPort


class FoundResolved:
    kind = "systemd-resolved"

    @classmethod
    async def find(cls, interface: str, run: Path) -> "FoundResolved | None":
        return cls() if run.is_dir() else None


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "Resolved", FoundResolved)


async def kinds(directory: Path, text: str, *, resolved: bool) -> list[str]:
    file = directory / "resolv.conf"
    file.write_text(text)
    run = directory / ("." if resolved else "none")
    found = await choose_host_resolvers("latchkey0", directory / "record", file, run)
    return [one.kind for one in found]


async def test_the_file_is_written_only_where_programs_read_it(tmp_path: Path) -> None:
    router, stub = "nameserver 192.168.1.1\n", "nameserver 127.0.0.53\n"
    assert await kinds(tmp_path, router, resolved=False) == ["resolv.conf"]
    assert await kinds(tmp_path, stub, resolved=True) == ["systemd-resolved"]
    assert await kinds(tmp_path, router, resolved=True) == ["resolv.conf", "systemd-resolved"]
    assert await kinds(tmp_path, stub, resolved=False) == ["resolv.conf"]


async def test_own_servers_are_found_after_a_crash_too(tmp_path: Path) -> None:
    file, record, run = tmp_path / "resolv.conf", tmp_path / "record", tmp_path / "run"
    file.write_text("nameserver 192.168.1.1\n")
    await ResolvConf(record, file).point(ip_address("100.100.100.100"))
    router = (AddrPort(ip_address("192.168.1.1"), 53),)
    assert own_servers(record, file, run) == router
    run.mkdir()
    (run / "resolv.conf").write_text("nameserver 10.0.0.1\n")
    file.write_text("nameserver 127.0.0.53\n")
    assert own_servers(record, file, run) == (AddrPort(ip_address("10.0.0.1"), 53),)
