"""Makes the settings that a gateway needs, and keeps the record by which they are undone.

Only what we changed is recorded, with the value from before, until the machine starts anew. A
setting that somebody else changed after us is theirs when ours is needed no more: it stays. One
that is refused is said and passed over: the others still count.
"""

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.gateway.knobs import Knobs
from appliance.host import files
from appliance.host.errors import FileProblemError, HostError

_log = logging.getLogger(__name__)

_BOOT_ID: Final = "kernel.random.boot_id"
_MAX_RECORD_BYTES: Final = 64 * 1024
"""A record has some short lines for each uplink and a handful besides."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A setting that a config needs."""

    name: str
    value: str
    why: str
    """A sentence for the owner."""
    or_else: frozenset[str] = frozenset()
    """Other values that do as well."""
    at_least: bool = False
    """A larger number does as well."""
    essential: bool = False
    """Without it the machine does not do what it promises to others."""

    def is_met_by(self, present: str) -> bool:
        """Whether the present value will do."""
        if present == self.value or present in self.or_else:
            return True
        return self.at_least and present.isdecimal() and int(present) >= int(self.value)


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


def _nothing(_: str) -> bool:
    return False


class RecordFile:
    """Keeps a record; one of an earlier start of the machine counts for nothing."""

    def __init__(self, path: Path, knobs: Knobs) -> None:
        self._path = path
        self._knobs = knobs

    def load(self) -> Record:
        """Read the record; an empty one when there is none, or a damaged one."""
        boot_id = self._knobs.read(_BOOT_ID) or ""
        data = files.read_bounded(self._path, _MAX_RECORD_BYTES)
        record = _parse_record(data) if data else None
        return record if record is not None and record.boot_id == boot_id else Record(boot_id)

    def save(self, record: Record) -> None:
        """Write the record so that it survives a power cut."""
        changed = {name: [one.before, one.ours] for name, one in record.changed.items()}
        text = json.dumps({"boot_id": record.boot_id, "changed": changed}, indent=1)
        files.write_atomic(self._path, text.encode())

    def remove(self) -> None:
        """Forget everything."""
        files.remove(self._path)


class Settings:
    """Makes settings and undoes them; the record survives a crash of ours."""

    def __init__(self, record_file: Path, knobs: Knobs | None = None) -> None:
        self._knobs = knobs or Knobs()
        self._file = RecordFile(record_file, self._knobs)
        self.refused: dict[str, str] = {}
        """What could not be made at the last attempt, by name, with the reason."""

    def apply(self, wanted: Iterable[Wanted], keep: Callable[[str], bool] = _nothing) -> None:
        """Make these settings in their order, and undo those of ours that are wanted no more.

        Those that ``keep`` says are left as they are instead, and forgotten.
        """
        by_name = {one.name: one for one in wanted}
        record = self._file.load()
        changed = dict(record.changed)
        refused: dict[str, str] = {}
        for name in [name for name in reversed(changed) if name not in by_name]:
            given_up = changed.pop(name)
            if not keep(name):
                self._undo(name, given_up)
        news: list[Wanted] = []
        for one in by_name.values():
            present = self._read(one.name, refused)
            if present is None or one.is_met_by(present):
                continue
            self._say_if_taken(one, present, changed.get(one.name))
            before = changed[one.name].before if one.name in changed else present
            changed[one.name] = Changed(before, one.value)
            news.append(one)
        # Remembered before it is done, so that a crash in between loses nothing.
        try:
            self._save_if_new(record, changed)
        except FileProblemError as error:
            self._take_refusals(refused | {one.name: str(error) for one in news})
            return
        remembered = Record(record.boot_id, dict(changed))
        for one in news:
            if not self._write(one.name, one.value, refused) and one.name not in record.changed:
                del changed[one.name]
        self._save_if_new(remembered, changed)
        self._take_refusals(refused)

    def undo(self, keep: Callable[[str], bool] = _nothing) -> None:
        """Undo everything that is recorded."""
        self.apply((), keep)
        self._file.remove()

    def changed(self) -> Mapping[str, Changed]:
        """Return what stands in the record."""
        return self._file.load().changed

    def _undo(self, name: str, changed: Changed) -> None:
        refused: dict[str, str] = {}
        if self._read(name, refused) == changed.ours:
            self._write(name, changed.before, refused)
        for reason in refused.values():
            _log.warning("A setting stays as we made it. %s", reason)

    def _read(self, name: str, refused: dict[str, str]) -> str | None:
        try:
            return self._knobs.read(name)
        except HostError as error:
            refused[name] = str(error)
            return None

    def _write(self, name: str, value: str, refused: dict[str, str]) -> bool:
        try:
            self._knobs.write(name, value)
        except HostError as error:
            refused[name] = str(error)
            return False
        return True

    def _say_if_taken(self, one: Wanted, present: str, ours: Changed | None) -> None:
        if ours is not None and ours.ours == one.value:
            _log.warning("Somebody set %s to %s; it is %s again", one.name, present, one.value)

    def _take_refusals(self, refused: dict[str, str]) -> None:
        for name, reason in refused.items():
            if self.refused.get(name) != reason:
                _log.warning("%s The rest goes on without it.", reason)
        self.refused = refused

    def _save_if_new(self, record: Record, changed: dict[str, Changed]) -> None:
        if changed != record.changed:
            self._file.save(Record(record.boot_id, changed))


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
