import re

import segno

from webui.qr import qr_svg


def test_the_picture_has_exactly_the_dark_modules_of_the_code() -> None:
    text = "http://192.168.1.5:8080"
    dark = {
        (int(x) + n, int(y))
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1", qr_svg(text))
        for n in range(int(length))
    }
    code = segno.make(text, error="m", micro=False)
    wanted = {(x, y) for y, line in enumerate(code.matrix) for x, bit in enumerate(line) if bit}
    assert dark == wanted


def test_what_it_says_is_not_in_its_source() -> None:
    svg = qr_svg('x"><script>alert(1)</script>')
    assert "script" not in svg
    assert "style=" not in svg
