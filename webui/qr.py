"""QR codes as inline SVG: black on white in dark mode too, because cameras want it so."""

import segno
from markupsafe import Markup


def qr_svg(text: str) -> Markup:
    """Draw a code that says ``text``; what stands around it tells screen readers what it is."""
    code = segno.make(text, error="m", micro=False)
    size = code.symbol_size(border=0)[0]
    runs = [
        f"M{column} {row}h{length}v1h-{length}z"
        for row, line in enumerate(code.matrix)
        for column, length in _runs(line)
    ]
    return Markup(
        '<svg viewBox="0 0 {} {}" aria-hidden="true" focusable="false" '
        'shape-rendering="crispEdges"><path fill="#000" d="{}"/></svg>'
    ).format(size, size, "".join(runs))


def _runs(line: bytes | bytearray) -> list[tuple[int, int]]:
    """Return where dark modules begin, and how many stand in a row."""
    runs: list[tuple[int, int]] = []
    for column, dark in enumerate(line):
        if not dark:
            continue
        if runs and runs[-1][0] + runs[-1][1] == column:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((column, 1))
    return runs
