"""Who may log in: asked of the coordinator, read from a file, or anyone.

The question to the coordinator is the one that the reference relay asks: POST of
``{"NodePublic": "nodekey:…", "Source": "<ip>"}``, answered with 200 and ``{"Allow": true}``.
Whatever else comes back, or nothing, means no.

Source: tailscale derp/derpserver/derpserver.go (verifyClient), tailcfg DERPAdmitClientRequest.
"""

import asyncio
import logging
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from appliance.aio.http1 import Http1Client, Http1Limits, HttpRequest
from appliance.aio.stream import TcpStream
from appliance.aio.tls import client_context
from appliance.host.files import read_bounded
from appliance.protocol.addresses import IPAddress
from appliance.protocol.errors import ProtocolError
from appliance.protocol.keys import NodePublic
from appliance.relay.server import Admission
from appliance.relay.settings import AdmissionSettings, AdmitAnyone, AskCoordinator, AskFile

_log = logging.getLogger(__name__)

MAX_ANSWER: Final = 4 * 1024
"""Of the coordinator, as in the reference."""

MAX_QUESTIONS: Final = 16
"""At once: a thousand nodes that come back together must not open a thousand connections."""

MAX_NODES_FILE: Final = 4 * 1024 * 1024
"""Over 50,000 keys."""


class AdmissionError(Exception):
    """The question could not be asked or was not answered."""


class _Question(msgspec.Struct, frozen=True):
    node: str = msgspec.field(name="NodePublic")
    source: str = msgspec.field(name="Source")


class _Answer(msgspec.Struct, frozen=True):
    allow: bool = msgspec.field(name="Allow", default=False)


def make_admission(settings: AdmissionSettings) -> Admission:
    """Make the admission that the settings name."""
    match settings:
        case AskCoordinator(url):
            return CoordinatorAdmission(url)
        case AskFile(path):
            return FileAdmission(path)
        case AdmitAnyone():
            return admit_anyone


async def admit_anyone(node: NodePublic, source: IPAddress | None) -> bool:
    """Admit every node."""
    del node, source
    return True


class CoordinatorAdmission:
    """Asks the coordinator at each login."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        """Take the URL of the question; ``tls`` replaces the system's trusted certificates."""
        self._parts = urlsplit(url)
        self._tls = (tls or client_context()) if self._parts.scheme == "https" else None
        self._slots = asyncio.Semaphore(MAX_QUESTIONS)

    async def __call__(self, node: NodePublic, source: IPAddress | None) -> bool:
        """Ask; the caller limits the time."""
        question = msgspec.json.encode(_Question(node.text(), str(source or "")))
        async with self._slots:
            host, port = self._parts.hostname or "", self._parts.port
            stream = TcpStream(
                *await asyncio.open_connection(
                    host, port or (443 if self._tls else 80), ssl=self._tls
                )
            )
            try:
                return await self._ask(
                    Http1Client(stream, Http1Limits(body_bytes=MAX_ANSWER)), question
                )
            finally:
                await stream.close()

    async def _ask(self, client: Http1Client, question: bytes) -> bool:
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        headers = (
            ("Host", self._parts.netloc.rpartition("@")[2]),
            ("Content-Type", "application/json"),
            ("Connection", "close"),
        )
        response = await client.request(HttpRequest("POST", target, headers, question))
        if response.status != 200:
            raise AdmissionError(f"the coordinator answered {response.status}")
        try:
            return msgspec.json.decode(response.body, type=_Answer).allow
        except (msgspec.MsgspecError, RecursionError):
            raise AdmissionError("the coordinator's answer is not the JSON it should be") from None


class FileAdmission:
    """Admits the keys in a file, one ``nodekey:…`` a line; a changed file counts at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at: tuple[int, int] | None = None
        self._nodes: frozenset[NodePublic] = frozenset()

    async def __call__(self, node: NodePublic, source: IPAddress | None) -> bool:
        """Look the node up."""
        del source
        return node in self._current()

    def _current(self) -> frozenset[NodePublic]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise AdmissionError(f"cannot read {self._path}: {error.strerror}") from None
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._read_at:
            text = (read_bounded(self._path, MAX_NODES_FILE) or b"").decode("utf-8", "replace")
            self._nodes = parse_nodes(text)
            self._read_at = version
        return self._nodes


def parse_nodes(text: str) -> frozenset[NodePublic]:
    """Read the keys of a nodes file; ``#`` begins a comment, a line that is no key is reported."""
    nodes: set[NodePublic] = set()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            nodes.add(NodePublic.parse(words[0]))
        except ProtocolError:
            _log.warning("line %d of the nodes file is not a node key; it is passed over", number)
    return frozenset(nodes)
