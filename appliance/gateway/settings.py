"""Kernel settings that a GatewayConfig needs, and the record by which they are undone.

Only what we changed is recorded, with the value from before, until the machine starts anew. A
setting that somebody else changed after us is theirs: it stays.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.gateway.config import GatewayConfig
from appliance.host import files, sysctl

FORWARD_V4: Final = "net.ipv4.ip_forward"
FORWARD_V6: Final = "net.ipv6.conf.all.forwarding"

_BOOT_ID: Final = "kernel.random.boot_id"
_MAX_RECORD_BYTES: Final = 64 * 1024
"""A record has one short line for each uplink and a handful besides."""


def plan_settings(config: GatewayConfig, uplinks: tuple[str, ...]) -> dict[str, str]:
    """Return the settings in the order in which they are to be made.

    A forwarding host stops hearing its IPv6 router unless told to listen before it forwards.
    """
    wanted: dict[str, str] = {}
    forward_v4 = config.serve_exit or any(n.version == 4 for n in config.advertised)
    forward_v6 = config.serve_exit or any(n.version == 6 for n in config.advertised)
    if forward_v6:
        wanted |= {f"net/ipv6/conf/{uplink}/accept_ra": "2" for uplink in uplinks}
        wanted[FORWARD_V6] = "1"
    if forward_v4:
        wanted[FORWARD_V4] = "1"
    if config.use_exit:
        # Encrypted packets come by another way than the default route; their mark counts.
        wanted["net.ipv4.conf.all.src_valid_mark"] = "1"
        wanted["net.ipv6.fwmark_reflect"] = "1"
    return wanted


@dataclass(frozen=True, slots=True)
class Changed:
    """A setting that we changed."""

    before: str
    ours: str


@dataclass(frozen=True, slots=True)
class Record:
    """What we changed since the machine started."""

    boot_id: str
    changed: Mapping[str, Changed] = field(default_factory=dict)


class Settings:
    """Makes settings and undoes them; the record survives a crash of ours."""

    def __init__(self, record_file: Path, root: Path = sysctl.ROOT) -> None:
        self._file = record_file
        self._root = root

    def apply(self, wanted: Mapping[str, str]) -> None:
        """Make these settings, and undo those of ours that are wanted no more."""
        record = self._load()
        changed = dict(record.changed)
        for name in [name for name in reversed(changed) if name not in wanted]:
            self._undo(name, changed.pop(name))
        news: dict[str, str] = {}
        for name, value in wanted.items():
            present = sysctl.read(name, self._root)
            if present in (None, value) or (present == "0" and name.endswith("/accept_ra")):
                continue  # not in this kernel, right already, or somebody else reads the routers
            news[name] = value
            before = changed[name].before if name in changed else present
            changed[name] = Changed(before=str(before), ours=value)
        if changed != record.changed:
            self._save(Record(record.boot_id, changed))
        for name, value in news.items():
            sysctl.write(name, value, self._root)

    def undo(self) -> None:
        """Undo everything that is recorded."""
        self.apply({})
        files.remove(self._file)

    def _undo(self, name: str, changed: Changed) -> None:
        if sysctl.read(name, self._root) == changed.ours:
            sysctl.write(name, changed.before, self._root)

    def _load(self) -> Record:
        boot_id = sysctl.read(_BOOT_ID, self._root) or ""
        data = files.read_bounded(self._file, _MAX_RECORD_BYTES)
        record = _parse_record(data) if data else None
        return record if record is not None and record.boot_id == boot_id else Record(boot_id)

    def _save(self, record: Record) -> None:
        changed = {name: [one.before, one.ours] for name, one in record.changed.items()}
        text = json.dumps({"boot_id": record.boot_id, "changed": changed}, indent=1)
        files.write_atomic(self._file, text.encode())


def _parse_record(data: bytes) -> Record | None:
    """Read a record; None for a file that was damaged, which is as good as none."""
    try:
        document = json.loads(data)
        changed = {
            str(name): Changed(str(before), str(ours))
            for name, (before, ours) in document["changed"].items()
        }
        return Record(str(document["boot_id"]), changed)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
