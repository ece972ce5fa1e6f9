"""The papers of a card: what is installed, and which blocks must be written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from image.card.papers import block_map, parse_status, spdx

STATUS = """\
Package: zlib1g
Status: install ok installed
Maintainer: Z <z@example.org>
Architecture: arm64
Source: zlib (1:1.3)
Version: 1:1.3.dfsg+really1.3.1-1+b1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: adduser
Status: install ok installed
Architecture: all
Version: 3.152
"""


def test_only_what_is_installed_is_listed_by_name() -> None:
    found = parse_status(STATUS)
    assert [package.name for package in found] == ["adduser", "zlib1g"]
    assert found[1].source == "zlib"


def test_the_list_is_spdx_and_names_file_version_and_licence() -> None:
    document = json.loads(spdx(parse_status(STATUS), "card.img", "0.1", 0, "ab" * 32))
    assert document["spdxVersion"] == "SPDX-2.3"
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    package = document["packages"][2]
    assert package["packageFileName"] == "zlib1g_1.3.dfsg+really1.3.1-1+b1_arm64.deb"
    assert package["licenseConcluded"] == "NOASSERTION"
    names = {package["SPDXID"] for package in document["packages"]} | {"SPDXRef-DOCUMENT"}
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= names
    assert len(names) == 4


def image(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(3 * 1024 * 1024 + 512)
        file.write(b"head")
        file.seek(2 * 1024 * 1024)
        file.write(b"x" * 10000)
    return path


def test_a_block_map_names_what_is_not_empty(tmp_path: Path) -> None:
    text = block_map(image(tmp_path / "card.img"))
    assert "> 0 </Range>" in text
    assert "> 512-514 </Range>" in text
    assert "<MappedBlocksCount> 4 </MappedBlocksCount>" in text


@pytest.mark.skipif(shutil.which("bmaptool") is None, reason="needs bmaptool (package bmap-tools)")
def test_bmaptool_copies_by_it(tmp_path: Path) -> None:
    source, copy = image(tmp_path / "card.img"), tmp_path / "copy.img"
    (tmp_path / "card.bmap").write_text(block_map(source))
    command = ["bmaptool", "--quiet", "copy", "--bmap", str(tmp_path / "card.bmap")]
    subprocess.run([*command, str(source), str(copy)], check=True, capture_output=True)
    assert copy.read_bytes().rstrip(b"\0") == source.read_bytes().rstrip(b"\0")
