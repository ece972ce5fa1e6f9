"""The source tree of the Debian package, and its build.

Generating the manual and the completion imports our parsers, which needs our dependencies: where
this Python lacks them the work tree's .venv does it, else Debian's own packages must be there.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = ROOT / "image" / "package"
CANNOT_BUILD: Final = 3
_IMPORTS: Final = "import babel.messages, image.package.program"
_PROGRAMS: Final = ("appliance", "webui")
_LEFT_OUT: Final = ("__pycache__", "*.pyc", "*.pot", "*.mo", ".*")
_VERSION: Final = re.compile(r'^VERSION = "([0-9][0-9A-Za-z.+~]*)"$', re.MULTILINE)


class CannotBuildError(Exception):
    """Something is missing on this machine; the message says what."""


def main(arguments: list[str]) -> int:
    """Build the package; print its path."""
    parser = argparse.ArgumentParser(
        prog="image/package/build", description="Build build/latchkey_VERSION_all.deb."
    )
    parser.add_argument("--version", help="another version than the tree's, to try upgrades")
    parser.add_argument("--output", type=Path, default=ROOT / "build", metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        built = build(options.version or version_of(ROOT), options.output.absolute())
    except CannotBuildError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_BUILD
    sys.stdout.write(f"{built}\n")
    return 0


def build(version: str, output: Path) -> Path:
    """Make the package in ``output`` and return its path."""
    _check_tools()
    python = _fit_python()
    epoch = source_date()
    work = output / "package"
    source = work / f"latchkey-{version}"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    copy_sources(source)
    (source / "debian" / "changelog").write_text(render_changelog(version, epoch))
    _generate(python, source, version, epoch)
    log = work / "build.log"
    _run_debhelper(source, epoch, log)
    built = work / f"latchkey_{version}_all.deb"
    if not built.exists():
        raise CannotBuildError(f"The build made no {built.name}; {log} says why.")
    return Path(shutil.move(built, output / built.name))


def version_of(root: Path) -> str:
    """Return the version that the sources say they have."""
    found = _VERSION.search((root / "appliance" / "version.py").read_text())
    if found is None:
        raise CannotBuildError('appliance/version.py has no line VERSION = "...".')
    return found[1]


def source_date() -> int:
    """Return when the sources were last changed: SOURCE_DATE_EPOCH, or the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given:
        return int(given)
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


def copy_sources(target: Path) -> None:
    """Copy what the package is made of, without caches; a missing room is left out."""
    ignore = shutil.ignore_patterns(*_LEFT_OUT)
    for name in _PROGRAMS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
    for name in ("debian", "config", "launcher"):
        shutil.copytree(HERE / name, target / name, ignore=ignore)
    (target / "docs").mkdir()
    for name in ("changelog.md", "operating.md", "coordinator.md"):
        shutil.copy(ROOT / "docs" / name, target / "docs" / name)


def render_changelog(version: str, epoch: int) -> str:
    """Write debian/changelog, of which debhelper needs the version and the date."""
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    return (
        f"latchkey ({version}) unstable; urgency=medium\n\n"
        "  * What changed is in changelog.md.\n\n"
        f" -- Latchkey <team@latchkey.invalid>  {date}\n"
    )


def _check_tools() -> None:
    missing = [name for name in ("dpkg-buildpackage", "dh", "dh_python3") if not shutil.which(name)]
    if missing:
        raise CannotBuildError(
            f"{', '.join(missing)} not found. Install the packages in .ci/packages-package.txt."
        )


def _fit_python() -> str:
    """Return a Python that can import our parsers."""
    for python in (os.environ.get("PYTHON", ""), str(ROOT / ".venv/bin/python"), sys.executable):
        if python and shutil.which(python) and _run_python(python, "-c", _IMPORTS).returncode == 0:
            return python
    raise CannotBuildError(
        "No Python here has our dependencies and Babel, which the manual and the catalogues need. "
        "Run `make setup`."
    )


def _run_python(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the work tree, without leaving compiled files there."""
    command = [python, "-B", *arguments]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def _generate(python: str, source: Path, version: str, epoch: int) -> None:
    """Add the manual, the completion and the compiled catalogues to the source tree."""
    done = _run_python(python, "-m", "image.package.generate", str(source), version, str(epoch))
    if done.returncode:
        raise CannotBuildError(f"The manual cannot be generated:\n{done.stderr.strip()}")


def _run_debhelper(source: Path, epoch: int, log: Path) -> None:
    env = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "SOURCE_DATE_EPOCH": str(epoch),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    # Without its own check of packages, which wants a C compiler; `_check_tools` saw what counts.
    command = ["dpkg-buildpackage", "--build=binary", "-d", "--no-sign", "--no-pre-clean"]
    old = os.umask(0o022)
    try:
        with log.open("w") as file:
            status = subprocess.run(
                command, cwd=source, env=env, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
    finally:
        os.umask(old)
    if status:
        tail = log.read_text(errors="replace").splitlines()[-15:]
        raise CannotBuildError("debhelper failed:\n" + "\n".join([*tail, f"All of it: {log}"]))
