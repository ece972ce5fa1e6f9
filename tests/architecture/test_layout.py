"""The tree keeps its own rules."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import appliance
from appliance.protocol import keys

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("appliance", "webui")
TESTS = ROOT / "tests" / "unit"


def _sources() -> list[Path]:
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in files)


def test_every_room_has_a_sign_on_its_door() -> None:
    silent = [
        str(path)
        for path in _sources()
        if path.name == "__init__.py"
        and not ast.get_docstring(ast.parse((ROOT / path).read_text()))
    ]
    assert silent == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path)
        for path in _sources()
        if not ast.get_docstring(ast.parse((ROOT / path).read_text()))
    ]
    assert silent == []


def test_unit_tests_mirror_modules_that_exist() -> None:
    orphans = []
    for test in sorted(TESTS.rglob("test_*.py")):
        relative = test.relative_to(TESTS)
        name = relative.name.removeprefix("test_").removesuffix(".py")
        source = ROOT / relative.parent / f"{name}.py"
        package = ROOT / relative.parent / name / "__init__.py"
        if not source.exists() and not package.exists():
            orphans.append(str(relative))
    assert orphans == []


def test_every_service_that_a_message_names_has_a_unit() -> None:
    text = "".join((ROOT / path).read_text() for path in _sources())
    units = {path.stem for path in (ROOT / "appliance" / "units").glob("*.service")}
    assert set(re.findall(r"systemctl \w+ (latchkey-\w+)", text)) <= units


@pytest.mark.parametrize("kind", [keys.MachinePrivate, keys.NodePrivate, keys.DiscoPrivate])
def test_no_private_key_can_be_printed(kind: type[keys.PrivateKey]) -> None:
    key = kind.from_seed(bytes(range(32)))
    for text in (repr(key), str(key), f"{key}", repr([key])):
        assert key.raw.hex()[:8] not in text
        assert "[private]" in text


def test_every_module_can_be_imported_alone() -> None:
    for module in pkgutil.walk_packages(appliance.__path__, "appliance."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
