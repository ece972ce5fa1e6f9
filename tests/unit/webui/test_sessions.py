from pathlib import Path

from webui import sessions
from webui.store import FILE_NAME, Store

DAY = 86400.0


def prepared(directory: Path) -> Store:
    store = Store(directory)
    store.prepare("a")
    return store


def begun(store: Store, now: float) -> str:
    with store.transaction() as db:
        return sessions.begin(db, now)


def test_a_session_lives_until_it_is_ended(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    token = begun(store, 10.0)
    assert sessions.check(store, token, 20.0, DAY)
    sessions.end(store, token)
    assert not sessions.check(store, token, 20.0, DAY)


def test_only_the_hash_of_a_token_is_stored(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    token = begun(store, 10.0)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE_NAME}*"))
    assert token.encode() not in stored


def test_an_idle_session_ends(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    token = begun(store, 0.0)
    assert sessions.check(store, token, sessions.IDLE_S - 1, DAY)
    assert sessions.check(store, token, 2 * sessions.IDLE_S - 2, DAY)
    assert not sessions.check(store, token, 4 * sessions.IDLE_S, DAY)
    assert not sessions.check(store, token, sessions.IDLE_S, DAY), "it is gone for good"


def test_a_busy_session_ends_too(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    token = begun(store, 0.0)
    for now in range(0, 3600, 300):
        assert sessions.check(store, token, float(now), 3600.0)
    assert not sessions.check(store, token, 3600.0, 3600.0)


def test_the_oldest_of_too_many_sessions_gives_way(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    tokens = [begun(store, float(n)) for n in range(sessions.MAX_SESSIONS + 1)]
    assert not sessions.check(store, tokens[0], 50.0, DAY)
    assert sessions.check(store, tokens[1], 50.0, DAY)


def test_nothing_and_nonsense_are_no_sessions(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    for token in ("", "x", "x" * 43, "'; drop table session; --" * 3, "\x00" * 50):
        assert not sessions.check(store, token, 1.0, DAY)


def test_a_form_token_belongs_to_one_session() -> None:
    one, other = sessions.new_token(), sessions.new_token()
    assert sessions.csrf_token(one) == sessions.csrf_token(one)
    assert sessions.csrf_token(one) != sessions.csrf_token(other)
    assert one not in sessions.csrf_token(one)


def test_all_other_sessions_can_be_ended(tmp_path: Path) -> None:
    store = prepared(tmp_path)
    one, other = begun(store, 0.0), begun(store, 0.0)
    with store.transaction() as db:
        sessions.end_others(db, one)
    assert sessions.check(store, one, 1.0, DAY)
    assert not sessions.check(store, other, 1.0, DAY)
