"""The card's partition table (MBR), as bytes: pure.

Sector of 512 bytes: 440 of boot code | disk id (4) | 0 (2) | 4 entries of 16 | 55 AA.
Entry: status (1) | first CHS (3) | type (1) | last CHS (3) | first sector (4) | sectors (4).
An extended partition begins with such a sector of its own (EBR): the first entry is the logical
partition, counted from this sector; the second the next EBR, counted from the extended partition.

Why these partitions, in this order: docs/decisions/0015-the-card.md.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

SECTOR: Final = 512
MIB: Final = 1024 * 1024
ALIGNMENT: Final = 4 * MIB
"""Not less than the erase block of common cards."""

BOOT_MIB: Final = 256
"""Firmware, kernel and initramfs of either profile are below 100 MiB."""
LATER_BOOT_MIB: Final = 192
SYSTEM_MIB: Final = 768
"""Two and a half times today's."""
DATA_MIB: Final = 64
"""In the file; at the first start it reaches to the end of the card."""

EMPTY_DATA_MARK: Final = b"LATCHKEY-EMPTY-DATA"
"""In the sector before the data partition: the first start makes its file system."""

_FAT32_LBA: Final = 0x0C
_EXTENDED_LBA: Final = 0x0F
_LINUX: Final = 0x83
_NO_CHS: Final = b"\xfe\xff\xff"
"""The address is beyond what cylinder, head and sector can say."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition; start and size in sectors."""

    number: int
    kind: int
    start: int
    sectors: int

    @property
    def offset(self) -> int:
        """Its first byte in the file."""
        return self.start * SECTOR

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.sectors * SECTOR


@dataclass(frozen=True, slots=True)
class Layout:
    """All partitions of one card."""

    boot: Partition
    later_boots: tuple[Partition, Partition]
    extended: Partition
    systems: tuple[Partition, Partition]
    data: Partition

    @property
    def size(self) -> int:
        """The bytes of the image."""
        return self.data.offset + self.data.size

    @property
    def mark_offset(self) -> int:
        """Where ``EMPTY_DATA_MARK`` stands."""
        return self.data.offset - SECTOR

    def sectors(self, disk_id: int) -> dict[int, bytes]:
        """Return what to write to which byte of the file."""
        primaries = [self.boot, *self.later_boots, self.extended]
        table = b"".join(_entry(part.kind, part.start, part.sectors) for part in primaries)
        written = {0: bytes(440) + struct.pack("<IH", disk_id, 0) + table + b"\x55\xaa"}
        written |= self._chain()
        written[self.mark_offset] = EMPTY_DATA_MARK.ljust(SECTOR, b"\0")
        return written

    def _chain(self) -> dict[int, bytes]:
        logical = [*self.systems, self.data]
        gap = ALIGNMENT // SECTOR
        heads = [part.start - gap for part in logical]
        chain = {}
        for index, part in enumerate(logical):
            table = _entry(part.kind, gap, part.sectors)
            if index + 1 < len(logical):
                following = logical[index + 1]
                table += _entry(_EXTENDED_LBA, heads[index + 1] - heads[0], gap + following.sectors)
            chain[heads[index] * SECTOR] = bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"
        return chain


def plan_layout() -> Layout:
    """Place the partitions one after the other."""
    gap = ALIGNMENT // SECTOR
    position = gap

    def take(number: int, kind: int, mib: int, before: int = 0) -> Partition:
        nonlocal position
        part = Partition(number, kind, position + before, mib * MIB // SECTOR)
        position = part.start + part.sectors
        return part

    boot = take(1, _FAT32_LBA, BOOT_MIB)
    later = (take(2, _FAT32_LBA, LATER_BOOT_MIB), take(3, _FAT32_LBA, LATER_BOOT_MIB))
    extended_start = position
    systems = (take(5, _LINUX, SYSTEM_MIB, gap), take(6, _LINUX, SYSTEM_MIB, gap))
    data = take(7, _LINUX, DATA_MIB, gap)
    extended = Partition(4, _EXTENDED_LBA, extended_start, position - extended_start)
    return Layout(boot, later, extended, systems, data)


def _entry(kind: int, start: int, sectors: int) -> bytes:
    return struct.pack("<B3sB3sII", 0, _NO_CHS, kind, _NO_CHS, start, sectors)
