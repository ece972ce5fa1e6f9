import json
from pathlib import Path

from webui.live import RETRY_MS, Streams, events


def test_a_part_is_told_once_until_it_changes() -> None:
    looks = iter([{"a": "1", "b": "x"}, {"a": "1", "b": "x"}, {"a": "2", "b": "x"}])
    told = list(events(lambda: next(looks), lambda: True, lambda _: None, ticks=3))
    assert told[0] == f"retry: {RETRY_MS}\n\n"
    assert told[1].count("event: part") == 2
    assert told[2] == ":\n\n"
    data = told[3].partition("data: ")[2]
    assert json.loads(data) == {"id": "a", "html": "2"}


def test_html_of_many_lines_is_one_event() -> None:
    told = list(events(lambda: {"a": "x\n\ny"}, lambda: True, lambda _: None, ticks=1))
    assert told[1].count("\n") == 3


def test_it_ends_when_it_should_not_go_on() -> None:
    told = list(events(lambda: {"a": "1"}, lambda: False, lambda _: None, ticks=100))
    assert len(told) == 2


def test_a_session_has_one_stream_the_newest_in_whichever_worker(tmp_path: Path) -> None:
    one, other = Streams(tmp_path), Streams(tmp_path)
    first = one.begin("token")
    second = other.begin("token")
    stranger = other.begin("another token")
    assert first is not None
    assert second is not None
    assert stranger is not None
    assert (first.is_newest(), second.is_newest(), stranger.is_newest()) == (False, True, True)
    first.end()
    assert second.is_newest()
    second.end()
    stranger.end()
    assert list(tmp_path.iterdir()) == []


def test_there_is_room_for_some_and_again_when_they_end(tmp_path: Path) -> None:
    streams = Streams(tmp_path, limit=2)
    first, _ = streams.begin("a"), streams.begin("b")
    assert streams.begin("c") is None
    assert first is not None
    first.end()
    assert streams.begin("c") is not None


def test_without_its_directory_it_works_all_the_same(tmp_path: Path) -> None:
    stream = Streams(tmp_path / "gone").begin("a")
    assert stream is not None
    assert stream.is_newest()
    stream.end()
