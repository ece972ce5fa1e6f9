import re
from itertools import pairwise

import pytest

from appliance.localapi.types import Traffic
from webui.chart import HEIGHT, WIDTH, render_chart, summarise


def traffic(*rx: int, tx: tuple[int, ...] = ()) -> Traffic:
    return Traffic(step_s=10, rx_bytes=rx, tx_bytes=tx or (0,) * len(rx))


def points(svg: str, name: str) -> list[tuple[float, float]]:
    path = re.search(rf'class="{name}" d="([^"]*)"', svg)
    assert path is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+),([\d.]+)", path[1])]


def test_the_hour_is_added_up() -> None:
    hour = summarise(traffic(*[1250] * 12, tx=(0,) * 11 + (75_000,)))
    assert (hour.rx_bytes, hour.tx_bytes, hour.seconds) == (15_000, 75_000, 120)
    assert hour.peak_bits_s == 8 * 75_000 / 60
    assert hour.top_bits_s == 10_000


@pytest.mark.parametrize(("peak", "top"), [(0, 10_000), (10_001, 20_000), (4.1e6, 5e6), (6e8, 1e9)])
def test_the_upper_edge_is_a_round_number_above_everything(peak: float, top: float) -> None:
    assert summarise(traffic(*[round(peak * 10 / 8)] * 6)).top_bits_s == top


def test_the_newest_minute_is_at_the_right_edge_and_nothing_leaves_the_picture() -> None:
    svg = render_chart(traffic(*range(0, 3_600_000, 10_000)), "t", "d")
    line = points(svg, "chart-tx")
    assert line[-1][0] == WIDTH
    assert len(line) == 60
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points(svg, "chart-rx"))
    assert all(a[0] < b[0] for a, b in pairwise(line))


def test_a_young_box_draws_only_what_it_knows() -> None:
    line = points(render_chart(traffic(*[100] * 18), "t", "d"), "chart-tx")
    assert len(line) == 3
    assert line[0][0] > WIDTH / 2


def test_an_empty_hour_is_a_picture_too() -> None:
    svg = render_chart(Traffic(), "nothing", "at all")
    assert 'd=""' in svg


def test_its_texts_are_escaped_and_it_is_named_for_screen_readers() -> None:
    svg = render_chart(traffic(1), "<b>", "a & b")
    assert "<b>" not in svg
    assert '<title id="chart-title">&lt;b&gt;</title><desc id="chart-desc">a &amp; b</desc>' in svg
    assert 'role="img"' in svg
    assert "style=" not in svg
