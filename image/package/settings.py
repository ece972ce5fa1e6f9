"""What sources say of settings and exit statuses: fields and the docstrings that follow them."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

Statuses = tuple[tuple[int, str, str], ...]
"""Number, name and meaning."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a settings file."""

    name: str
    kind: str
    default: str
    text: str


def read_statuses(source: Path) -> Statuses:
    """Read the exit statuses from ``exit_status.py``."""
    found = []
    for name, node, text in _fields(source, "ExitStatus"):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            found.append((int(str(node.value.value)), name.lower().replace("_", "-"), text))
    return tuple(found)


def read_keys(source: Path, kind: str, prefix: str = "") -> tuple[Key, ...]:
    """Read a class of settings; a field whose type is another class of the file is a table."""
    classes = _classes(source)
    keys: list[Key] = []
    for name, node, text in _fields(source, kind):
        if not isinstance(node, ast.AnnAssign):
            continue
        annotation = ast.unparse(node.annotation)
        words = re.findall(r"\w+", annotation)
        table = next((word for word in words if word in classes and "Settings" in word), None)
        full = prefix + name
        if table is None:
            default = _default(node.value)
            keys.append(Key(full, _kind(annotation), default, text))
        elif annotation.startswith("tuple"):
            keys.append(Key(f"[[{full}]]", "any number of tables", "", text))
            keys += read_keys(source, table, f"{full}.")
        else:
            keys += read_keys(source, table, f"{full}.")
    return tuple(keys)


def _classes(source: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(source: Path, kind: str) -> list[tuple[str, ast.stmt, str]]:
    """Return the fields of a class, each with the docstring below it."""
    body = _classes(source)[kind].body
    fields: list[tuple[str, ast.stmt, str]] = []
    for node, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                fields.append((name, node, _text(below)))
            case _:
                continue
    return fields


def _text(node: ast.stmt) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return " ".join(text.replace("``", "`").split())
        case _:
            return ""


def _default(node: ast.expr | None) -> str:
    match node:
        case None | ast.Constant(value=None | ""):
            return ""
        case ast.Constant(value=bool(value)):
            return str(value).lower()
        case ast.Constant(value=value):
            return str(value)
        case ast.Call(func=ast.Name(id="Path"), args=[ast.Constant(value=value)]):
            return str(value)
        case _:
            return ""


def _kind(annotation: str) -> str:
    if annotation.startswith("dict"):
        return "table"
    if annotation.startswith("tuple"):
        return "list"
    return {"bool": "true or false", "int": "number"}.get(annotation, "text")
