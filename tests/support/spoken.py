"""The sentences that stand in a module's source, as its programs say them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import appliance

_SOURCES: Final = Path(appliance.__file__).parent
"""Of the package that is tried, wherever it is installed."""
_WORD: Final = "x1"
"""Stands for a value in a sentence."""


def modules(pattern: str) -> list[str]:
    """Return the modules under ``appliance`` whose path fits, such as ``agent/*.py``."""
    return sorted(str(path.relative_to(_SOURCES)) for path in _SOURCES.glob(pattern))


def sentences_of(module: str) -> list[str]:
    """Return its texts of three words or more, without docstrings and the log's."""
    tree = ast.parse((_SOURCES / module).read_text(encoding="utf-8"))
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    docstrings = {id(value) for value in alone if isinstance(value, ast.Constant)}
    texts = (text.strip() for text in _texts(tree, docstrings))
    return [text for text in dict.fromkeys(texts) if text.count(" ") >= 2 and "\n" not in text]


def _texts(node: ast.AST, skipped: set[int]) -> Iterator[str]:
    if id(node) in skipped or _is_logging(node):
        return
    text = _text(node)
    if text is not None:
        yield text
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, skipped)


def _text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or _WORD for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            one, other = _text(left), _text(right)
            return None if one is None and other is None else f"{one or _WORD}{other or _WORD}"
        case _:
            return None


def _is_logging(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="_log"))):
            return True
        case _:
            return False
