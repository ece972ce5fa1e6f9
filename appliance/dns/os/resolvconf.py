"""/etc/resolv.conf: its text, and the driver that replaces the file.

The file that was there is remembered in a record of ours before it is replaced, so that it comes
back after a crash too. Whoever rewrites the file while ours stands there (a DHCP client) sets what
comes back later; ours is put in its place again.
"""

import asyncio
import logging
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec

from appliance.dns.config import STUB_V4, STUB_V6
from appliance.dns.errors import DnsError
from appliance.host.errors import FileProblemError
from appliance.host.files import read_bounded, remove, write_atomic
from appliance.protocol.addresses import AddrPort, IPAddress
from appliance.protocol.dns import PORT

_log = logging.getLogger(__name__)

PATH: Final = Path("/etc/resolv.conf")
MAX_BYTES: Final = 64 * 1024
"""resolv.conf(5) uses three servers and six domains."""
MAX_SERVERS: Final = 3
"""Those that the C library uses."""
LOOK_S: Final = 1.0
"""Between two looks at the file while an exit node is in use."""

_SIGN: Final = "# Written by Latchkey while an exit node is in use; "
_MODE: Final = 0o644
_SHARED: Final = {STUB_V4, STUB_V6}


def parse_servers(text: str) -> tuple[AddrPort, ...]:
    """Return the name servers of a resolv.conf; those of our own stub are left out."""
    found: dict[AddrPort, None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ip_address(words[1])
        except ValueError:
            continue
        if address not in _SHARED:
            found[AddrPort(address, PORT)] = None
    return tuple(found)[:MAX_SERVERS]


def read_servers(path: Path) -> tuple[AddrPort, ...]:
    """Return the name servers of a file; none when it cannot be read."""
    try:
        return parse_servers(_text(read_bounded(path, MAX_BYTES)))
    except FileProblemError:
        return ()


def render(stub: IPAddress) -> str:
    """Write a resolv.conf that asks the stub alone."""
    return f"{_SIGN}what it replaced comes back afterwards.\nnameserver {stub}\n"


def is_ours(text: str) -> bool:
    """Whether we wrote this."""
    return text.startswith(_SIGN)


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What stood in the place of our file."""

    text: str | None = None
    """None: nothing did."""
    link: str | None = None
    """Where it pointed, if it was a symbolic link; ``text`` is then what it led to."""
    mode: int = _MODE


@dataclass(slots=True)
class ResolvConf:
    """Replaces the file (the ``HostResolver`` contract)."""

    record: Path
    path: Path = PATH
    kind: str = PATH.name
    _stub: IPAddress | None = None

    async def point(self, stub: IPAddress) -> None:
        """Write ours, having remembered what stands there."""
        self._stub = stub
        self._write(render(stub))

    async def restore(self) -> None:
        """Put the original back, unless somebody else has written there since."""
        self._stub = None
        try:
            original = self._original()
            if original is not None and is_ours(self._read()):
                self._put_back(original)
            remove(self.record)
        except (FileProblemError, OSError) as error:
            raise DnsError(f"{self.path} cannot be given back: {error}") from None

    def upstreams(self) -> tuple[AddrPort, ...]:
        """Return the original's servers; behind a link, those that it leads to now."""
        text = self._read()
        if not is_ours(text):
            return parse_servers(text)
        original = self._original()
        if original is None:
            return ()
        if original.link is not None:
            return read_servers(self.path.parent / original.link)
        return parse_servers(original.text or "")

    async def guard(self) -> None:
        """Look every second whether ours still stands."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if self._stub is not None and self._write(render(self._stub)):
                    _log.warning(
                        "Something rewrote %s; ours is back, for the exit node carries all "
                        "queries. What it wrote counts once no exit node is in use.",
                        self.path,
                    )
            except DnsError as error:
                _log.warning("%s", error)

    def _write(self, wanted: str) -> bool:
        """Make the file ours; whether it was not."""
        try:
            present = self._read()
            if present == wanted:
                return False
            if not is_ours(present):
                self._remember(present)
            _replace(self.path, wanted, _MODE)
        except (FileProblemError, OSError) as error:
            raise DnsError(
                f"{self.path} cannot be changed ({error}), so names are not looked up while the "
                "exit node is in use. Let this program write it, or use systemd-resolved."
            ) from None
        return True

    def _remember(self, present: str) -> None:
        link = str(self.path.readlink()) if self.path.is_symlink() else None
        there = self.path.exists()
        mode = self.path.stat().st_mode & 0o777 if there else _MODE
        original = Original(text=present if there else None, link=link, mode=mode)
        write_atomic(self.record, msgspec.json.encode(original))

    def _put_back(self, original: Original) -> None:
        if original.link is not None:
            new = self.path.with_name(f".{self.path.name}.latchkey")
            new.unlink(missing_ok=True)
            new.symlink_to(original.link)
            new.replace(self.path)
        elif original.text is None:
            self.path.unlink(missing_ok=True)
        else:
            _replace(self.path, original.text, original.mode)

    def _original(self) -> Original | None:
        data = read_bounded(self.record, MAX_BYTES * 7)  # JSON may write a byte as six
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=Original)
        except msgspec.DecodeError:
            _log.warning("%s is damaged, so what it remembers is lost", self.record)
            return None

    def _read(self) -> str:
        return _text(read_bounded(self.path, MAX_BYTES))


def _text(data: bytes | None) -> str:
    return (data or b"").decode("latin-1")


def _replace(path: Path, text: str, mode: int) -> None:
    """Replace the file as a whole; in place where it is a mount of its own (in a container)."""
    data = text.encode("latin-1")
    try:
        write_atomic(path, data, mode)
    except FileProblemError:
        if not path.exists():
            raise
        path.write_bytes(data)
