"""Text to roff, the language of manual pages (man(7))."""

import re
from typing import Final

_CODE: Final = re.compile(r"`([^`]+)`|(?<![\w-])(--?[a-z][a-z-]*)")
_ITEM: Final = re.compile(r"  (\S+(?: \S+)*)  +(\S.*)")
_HEADING: Final = re.compile(r"([a-z][a-z ,]*):")


def escape(text: str) -> str:
    """Let text stand as it is."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def bold(text: str) -> str:
    """Render what is typed as it stands."""
    return f"\\fB{escape(text)}\\fR"


def italic(text: str) -> str:
    """Render what stands for something else."""
    return f"\\fI{escape(text)}\\fR"


def inline(text: str) -> str:
    """Render a line of prose: flags, and what stands in backticks, are bold."""
    parts, end = [], 0
    for found in _CODE.finditer(text):
        parts += [_plain(text[end : found.start()]), bold(found[1] or found[2])]
        end = found.end()
    line = "".join([*parts, _plain(text[end:])])
    return f"\\&{line}" if line[:1] in (".", "'") else line


def _plain(text: str) -> str:
    """Keep from roff what it reads itself; a hyphen in prose may be one."""
    return text.replace("\\", "\\e")


def literal(lines: list[str]) -> list[str]:
    """Render lines that keep their form."""
    return [".PP", ".in +4n", ".nf", *(escape(line) or "\\&" for line in lines), ".fi", ".in"]


def prose(text: str) -> list[str]:
    """Render paragraphs; indented ones keep their form, lists of words become lists."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines += _block(block.rstrip().split("\n"))
    return lines


def _block(block: list[str]) -> list[str]:
    heading = _HEADING.fullmatch(block[0])
    if heading and len(block) > 1:
        title = heading[1][0].upper() + heading[1][1:]
        return [".PP", f"{title}:", *_block(block[1:])]
    if all(line.startswith("  ") for line in block):
        return _indented(block)
    return [".PP", *(inline(line.strip()) for line in block)]


def _indented(block: list[str]) -> list[str]:
    if block[0].lstrip().startswith("latchkey "):
        return literal([line.strip() for line in block])
    if not _ITEM.fullmatch(block[0]):
        return [".PP", *(inline(line.strip()) for line in block)]
    lines: list[str] = []
    for line in block:
        item = _ITEM.fullmatch(line)
        if item and not line.startswith("   "):
            lines += [".TP", bold(item[1]), inline(item[2])]
        else:
            lines.append(inline(line.strip()))
    return lines
