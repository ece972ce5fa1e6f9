"""What goes with the image: list of packages (SPDX), block map, manifest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_BLOCK: Final = 4096


@dataclass(frozen=True, slots=True)
class Installed:
    """One package of the tree, from dpkg's status."""

    name: str
    version: str
    architecture: str
    source: str
    supplier: str


def parse_status(text: str) -> list[Installed]:
    """Read dpkg's status file; only what is installed, by name."""
    found = []
    for paragraph in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z-]+): (.*)$", paragraph, re.MULTILINE))
        if not fields.get("Status", "").endswith(" ok installed"):
            continue
        found.append(
            Installed(
                str(fields["Package"]),
                fields["Version"],
                fields["Architecture"],
                str(fields.get("Source") or fields["Package"]).partition(" ")[0],
                fields.get("Maintainer", ""),
            )
        )
    return sorted(found, key=lambda package: (package.name, package.architecture))


def spdx(packages: list[Installed], name: str, version: str, epoch: int, checksum: str) -> str:
    """Return an SPDX 2.3 document; licences are not concluded: copyright files are in the image."""
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    card = {
        "SPDXID": "SPDXRef-card",
        "name": "latchkey-card",
        "versionInfo": version,
        "packageFileName": name,
        "downloadLocation": "NOASSERTION",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": checksum}],
    }
    contained = [_spdx_package(package) for package in packages]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"https://latchkey.invalid/spdx/{name}-{checksum[:32]}",
        "creationInfo": {"created": created, "creators": ["Tool: latchkey-image-build"]},
        "documentDescribes": ["SPDXRef-card"],
        "packages": [card, *contained],
        "relationships": [
            {
                "spdxElementId": "SPDXRef-DOCUMENT",
                "relationshipType": "DESCRIBES",
                "relatedSpdxElement": "SPDXRef-card",
            },
            *(
                {
                    "spdxElementId": "SPDXRef-card",
                    "relationshipType": "CONTAINS",
                    "relatedSpdxElement": package["SPDXID"],
                }
                for package in contained
            ),
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _spdx_package(package: Installed) -> dict[str, Any]:
    reference = re.sub(r"[^A-Za-z0-9.-]", "-", f"{package.name}-{package.architecture}")
    version = package.version.partition(":")[2] or package.version
    purl = f"pkg:deb/debian/{package.name}@{package.version}?arch={package.architecture}"
    return {
        "SPDXID": f"SPDXRef-{reference}",
        "name": package.name,
        "versionInfo": package.version,
        "packageFileName": f"{package.name}_{version}_{package.architecture}.deb",
        "supplier": f"Organization: {package.supplier}" if package.supplier else "NOASSERTION",
        "sourceInfo": f"built from the source package {package.source}",
        "downloadLocation": "NOASSERTION",
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl.replace("+", "%2B"),
            }
        ],
    }


def sha256(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def block_map(image: Path) -> str:
    """Return a bmap (version 2.0): the ranges of blocks that have to be written."""
    size = image.stat().st_size
    ranges = []
    mapped = 0
    for first, last in _extents(image):
        mapped += last - first + 1
        with image.open("rb") as file:
            file.seek(first * _BLOCK)
            data = hashlib.sha256(file.read((last - first + 1) * _BLOCK)).hexdigest()
        span = f"{first}" if first == last else f"{first}-{last}"
        ranges.append(f'        <Range chksum="{data}"> {span} </Range>')
    listed = "\n".join(ranges)
    text = f"""<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {_BLOCK} </BlockSize>
    <BlocksCount> {-(-size // _BLOCK)} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> {"0" * 64} </BmapFileChecksum>
    <BlockMap>
{listed}
    </BlockMap>
</bmap>
"""
    own = hashlib.sha256(text.encode()).hexdigest()
    return text.replace("0" * 64, own, 1)


def _extents(image: Path) -> Iterator[tuple[int, int]]:
    """First and last block of each stretch with anything in it, by content, not by holes."""
    chunk = 256 * _BLOCK
    first = None
    block = 0
    with image.open("rb") as file:
        while data := file.read(chunk):
            if not any(data):
                if first is not None:
                    yield first, block - 1
                    first = None
                block += -(-len(data) // _BLOCK)
                continue
            for offset in range(0, len(data), _BLOCK):
                if any(data[offset : offset + _BLOCK]):
                    first = block if first is None else first
                elif first is not None:
                    yield first, block - 1
                    first = None
                block += 1
    if first is not None:
        yield first, block - 1
