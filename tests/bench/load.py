"""The load generator on the reference client's library: built once, kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = Path(os.environ.get("LATCHKEY_LOAD") or ROOT.parent / "shared" / "load")
CACHE: Final = Path(os.environ.get("LATCHKEY_CACHE") or Path.home() / ".cache" / "latchkey")


class MissingError(Exception):
    """Something the benchmark needs is not on this machine; the message names it."""


def load_program() -> Path:
    """Build the load generator outside the tree, unless this source was built before."""
    if not (SOURCE / "main.go").is_file():
        raise MissingError(f"the load generator's source is not at {SOURCE} (set LATCHKEY_LOAD)")
    sources = sorted(path for path in SOURCE.iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    directory = CACHE / "load" / digest
    program = directory / "load"
    if program.is_file():
        return program
    go = shutil.which("go")
    if go is None:
        raise MissingError("Go is not installed, so the load generator cannot be built")
    directory.mkdir(parents=True, exist_ok=True)
    for path in sources:
        (directory / path.name).write_bytes(path.read_bytes())
    subprocess.run([go, "build", "-o", "load.new", "."], cwd=directory, check=True)
    (directory / "load.new").rename(program)
    return program


def run_load(program: Path, trust: Path, *arguments: str) -> dict[str, Any]:
    """One run; returns its last JSON line. `trust` is the certificate the server is known by."""
    result = subprocess.run(
        [str(program), *arguments],
        env=os.environ | {"SSL_CERT_FILE": str(trust)},
        stdout=subprocess.PIPE,
        timeout=180,
        check=True,
    )
    last: dict[str, Any] = json.loads(result.stdout.decode().strip().splitlines()[-1])
    return last
