"""The card's partition table, read back by sfdisk and by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from image.card.disk import ALIGNMENT, EMPTY_DATA_MARK, MIB, SECTOR, plan_layout

DISK_ID = 0x4C4B000A


def write(path: Path) -> None:
    layout = plan_layout()
    with path.open("wb") as file:
        file.truncate(layout.size)
        for offset, data in layout.sectors(DISK_ID).items():
            file.seek(offset)
            file.write(data)


@pytest.mark.skipif(shutil.which("sfdisk") is None, reason="needs sfdisk (package fdisk)")
def test_sfdisk_reads_what_was_planned(tmp_path: Path) -> None:
    write(tmp_path / "card.img")
    done = subprocess.run(
        ["sfdisk", "--json", str(tmp_path / "card.img")], capture_output=True, check=True
    )
    table = json.loads(done.stdout)["partitiontable"]
    layout = plan_layout()
    planned = [layout.boot, *layout.later_boots, layout.extended, *layout.systems, layout.data]
    assert table["label"] == "dos"
    assert int(table["id"], 16) == DISK_ID
    found = [
        (int(p["node"][-1]), p["start"], p["size"], int(p["type"], 16)) for p in table["partitions"]
    ]
    assert found == [(p.number, p.start, p.sectors, p.kind) for p in planned]


def test_partitions_begin_where_cards_erase_and_do_not_overlap() -> None:
    layout = plan_layout()
    parts = [layout.boot, *layout.later_boots, *layout.systems, layout.data]
    assert all(part.offset % ALIGNMENT == 0 for part in parts)
    ends = [part.offset + part.size for part in parts]
    assert all(end <= part.offset for end, part in zip(ends, parts[1:], strict=False))


def test_the_firmware_finds_all_boot_partitions_among_the_first_four() -> None:
    layout = plan_layout()
    assert [layout.boot.number, *(part.number for part in layout.later_boots)] == [1, 2, 3]


def test_data_is_the_last_partition_and_reaches_to_the_end_of_the_extended_one() -> None:
    layout = plan_layout()
    end = layout.data.start + layout.data.sectors
    assert end == layout.extended.start + layout.extended.sectors
    assert layout.size == end * SECTOR


def test_it_fits_the_smallest_cards_that_are_sold_as_4_gb() -> None:
    assert plan_layout().size < 3600 * MIB


def test_the_mark_of_an_empty_data_partition_overwrites_no_table() -> None:
    layout = plan_layout()
    sectors = layout.sectors(DISK_ID)
    assert sectors[layout.mark_offset].startswith(EMPTY_DATA_MARK)
    tables = [offset for offset, data in sectors.items() if data.endswith(b"\x55\xaa")]
    assert len(tables) == 4
    assert all(len(data) == SECTOR for data in sectors.values())


def test_the_initramfs_looks_for_the_same_mark() -> None:
    root = Path(__file__).resolve().parents[4]
    script = root / "image/rootfs/etc/initramfs-tools/scripts/local-bottom/latchkey"
    assert f'EMPTY="{EMPTY_DATA_MARK.decode()}"' in script.read_text()
