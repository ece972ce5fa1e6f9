"""Aligned columns on a terminal."""


def render(rows: list[list[str]], header: list[str] | None = None) -> str:
    """Pad every column to its widest cell; control characters in cells become ``?``."""
    cells = [[plain(cell) for cell in row] for row in ([header] if header else []) + rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "".join(line.rstrip() + "\n" for line in lines)


def plain(text: str) -> str:
    """Replace control characters, which others may have put into a text."""
    return "".join(character if character.isprintable() else "?" for character in text)
