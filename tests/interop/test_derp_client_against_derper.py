"""Our side of DERP as a node, against the reference relay: two of our nodes talk through derper."""

import asyncio
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.protocol.derp.client import LoggedIn, PeerGone
from appliance.protocol.derp.frames import PeerGoneReason
from appliance.protocol.derp.upgrade import relay_key_from_certificate
from appliance.protocol.keys import NodePublic
from appliance.relay.certificates import self_signed
from tests.support.derp import DISCO, node_key, relay_node
from tests.support.peers import require_peer

pytestmark = pytest.mark.interop
A, B, ABSENT = node_key(1), node_key(2), node_key(3)


@dataclass(frozen=True)
class Derper:
    """The reference relay, running on this host."""

    port: int
    trust: ssl.SSLContext


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@asynccontextmanager
async def derper(directory: Path, *options: str) -> AsyncIterator[Derper]:
    program, port = require_peer("derper"), free_port()
    certificate, key = self_signed("127.0.0.1")
    (directory / "127.0.0.1.crt").write_bytes(certificate)
    (directory / "127.0.0.1.key").write_bytes(key)
    log = directory / "derper.log"
    command = [
        *(str(program), "-a", f"127.0.0.1:{port}", "-http-port", "-1", "-stun=false"),
        *("-hostname", "127.0.0.1", "-certmode", "manual", "-certdir", str(directory)),
        *("-c", str(directory / "derper.json"), *options),
    ]
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
    try:
        await wait_for_port(port, process, log)
        context = ssl.create_default_context(cadata=certificate.decode())
        yield Derper(port, context)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def wait_for_port(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(20):
        while True:
            assert process.returncode is None, log.read_text()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.transport.abort()
                return


async def relay_key(relay: Derper) -> NodePublic:
    """The relay's key as its TLS chain tells it."""
    command = ["openssl", "s_client", "-showcerts", "-connect", f"127.0.0.1:{relay.port}"]
    shown = await asyncio.to_thread(
        subprocess.run, command, input=b"", capture_output=True, timeout=10, check=False
    )
    pems = re.findall(rb"-----BEGIN.*?-----END CERTIFICATE-----", shown.stdout, re.DOTALL)
    keys = [relay_key_from_certificate(ssl.PEM_cert_to_DER_cert(pem.decode())) for pem in pems]
    [key] = [key for key in keys if key]
    return key


async def test_packets_pass_between_two_of_our_nodes(tmp_path: Path) -> None:
    async with (
        derper(tmp_path) as relay,
        relay_node(A, relay.port, tls=relay.trust, preferred=True) as a,
        relay_node(B, relay.port, tls=relay.trust) as b,
    ):
        packets = [b"", b"x", bytes(range(256)) * 5, bytes(65536)]
        for packet in packets:
            a.send(B.public(), packet)
            assert await b.receive(1) == [(A.public().raw, packet)]
        await a.ping()
        assert a.session.relay_key == b.session.relay_key


async def test_a_fast_start_saves_the_http_answer(tmp_path: Path) -> None:
    async with derper(tmp_path) as relay:
        key = await relay_key(relay)
        async with relay_node(A, relay.port, tls=relay.trust, relay_key=key) as a:
            await a.ping()


async def test_derper_says_that_a_node_is_not_here_and_that_one_has_gone(tmp_path: Path) -> None:
    async with (
        derper(tmp_path) as relay,
        relay_node(B, relay.port, tls=relay.trust) as b,
    ):
        b.send(ABSENT.public(), DISCO)
        gone = await b.event(PeerGone)
        assert gone == PeerGone(ABSENT.public(), PeerGoneReason.NOT_HERE)
        async with relay_node(A, relay.port, tls=relay.trust) as a:
            a.send(B.public(), b"hello")
            await b.receive(1)
        assert await b.event(PeerGone) == PeerGone(A.public(), PeerGoneReason.DISCONNECTED)


async def test_a_login_that_derper_does_not_admit_ends_the_connection(tmp_path: Path) -> None:
    """derper asks its admission controller, which nobody runs, and fails closed."""
    options = (
        f"-verify-client-url=http://127.0.0.1:{free_port()}/verify",
        "-verify-client-url-fail-open=false",
    )
    async with (
        derper(tmp_path, *options) as relay,
        relay_node(A, relay.port, tls=relay.trust, login=False) as a,
    ):
        with pytest.raises(ConnectionResetError):
            await a.event(LoggedIn)
