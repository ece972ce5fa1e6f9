"""The relay program's parts together."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from appliance.protocol.addresses import AddrPort
from appliance.relay.certificates import self_signed
from appliance.relay.errors import PortError, RelayError
from appliance.relay.service import RelayService, load_private_key
from appliance.relay.settings import AdmitAnyone, CertificateFiles, RelaySettings
from appliance.relay.sockets import bind_udp
from tests.support.derp import node_key, relay_node
from tests.support.relay import LOOPBACK

ANY_PORT = AddrPort(LOOPBACK, 0)


def settings(tmp_path: Path, **changes: object) -> RelaySettings:
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "admission": AdmitAnyone(),
        "state_directory": tmp_path / "state",
        "listen": (ANY_PORT,),
        "listen_stun": (ANY_PORT,),
        "listen_http": (ANY_PORT,),
    }
    return RelaySettings(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_relay_from_its_settings_carries_packets(
    tmp_path: Path, factory: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_carry_packets(tmp_path))


async def _carry_packets(tmp_path: Path) -> None:
    service = RelayService(settings(tmp_path))
    trust = ssl.create_default_context(cafile=str(tmp_path / "state" / "self-signed.pem"))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run(), name="relay")
        port = service.addresses[0].port
        async with (
            relay_node(node_key(1), port, tls=trust) as a,
            relay_node(node_key(2), port, tls=trust) as b,
        ):
            packets = [bytes([number]) * 1000 * number for number in range(0, 60, 6)]
            a.send(node_key(2).public(), *packets)
            assert [packet for _, packet in await b.receive(len(packets))] == packets
        running.cancel()


async def test_the_relays_key_and_certificate_survive_a_restart(tmp_path: Path) -> None:
    first, second = (RelayService(settings(tmp_path)) for _ in range(2))
    assert first.private_key == second.private_key
    assert first.certificate == second.certificate
    for service in (first, second):
        service.close()


async def test_a_port_in_use_leaves_no_other_port_open(tmp_path: Path) -> None:
    with bind_udp(ANY_PORT) as taken:
        address = AddrPort(LOOPBACK, taken.getsockname()[1])
        with pytest.raises(PortError, match="in use"):
            RelayService(settings(tmp_path, listen_stun=(address,)))


def test_a_key_is_made_private_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "relay.key"
    key = load_private_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_private_key(path) == key


def test_a_broken_key_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "relay.key"
    path.write_text("privkey:12")
    with pytest.raises(RelayError, match="restore it, or remove it"):
        load_private_key(path)
    assert path.read_text() == "privkey:12"


async def test_a_renewed_certificate_is_served_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = CertificateFiles(tmp_path / "relay.pem", tmp_path / "relay.key")
    old, new = self_signed("127.0.0.1"), self_signed("127.0.0.1")
    give(files, *old)
    service = RelayService(settings(tmp_path, certificate=files, listen_stun=()))
    trust = ssl.create_default_context(cadata=new[0].decode())
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(service.run(), name="relay")
        port = service.addresses[0].port
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        give(files, *new)
        service.reload_certificate()
        for broken in ((b"", b""), (old[0], new[1])):
            give(files, *broken)
            service.reload_certificate()
            async with relay_node(node_key(1), port, tls=trust):
                pass
        assert caplog.text.count("still serving the old certificate") == 2
        running.cancel()


def give(files: CertificateFiles, certificate: bytes, key: bytes) -> None:
    files.certificate.write_bytes(certificate)
    files.key.write_bytes(key)
