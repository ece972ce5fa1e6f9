from pathlib import Path

from webui import attempts
from webui.attempts import Limit, try_again_after
from webui.store import Store

LIMIT = Limit("test", by_one=2, by_all=3)


def test_the_oldest_of_the_last_tries_says_how_long_to_wait() -> None:
    assert try_again_after((0.0, 10.0), 3, 20.0) == 0.0
    assert try_again_after((0.0, 10.0), 2, 20.0) == 40.0
    assert try_again_after((0.0, 10.0), 2, 60.0) == 0.0
    assert try_again_after((), 2, 60.0) == 0.0


def test_one_address_waits_while_another_may_try(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with store.transaction() as db:
        assert attempts.take(db, LIMIT, "a", 100.0) == 0.0
        assert attempts.take(db, LIMIT, "a", 101.0) == 0.0
        assert attempts.take(db, LIMIT, "a", 102.0) == 58.0
        assert attempts.take(db, LIMIT, "b", 103.0) == 0.0
        assert attempts.take(db, LIMIT, "c", 104.0) == 56.0
        assert attempts.take(db, LIMIT, "a", 161.0) == 0.0


def test_requests_that_overtake_each_other_count_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with store.transaction() as db:
        assert attempts.take(db, LIMIT, "a", 100.2) == 0.0
        assert attempts.take(db, LIMIT, "a", 100.1) == 0.0
        assert attempts.take(db, LIMIT, "a", 100.0) > 0.0


def test_who_gets_it_right_begins_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with store.transaction() as db:
        attempts.take(db, LIMIT, "a", 100.0)
        attempts.take(db, LIMIT, "a", 100.0)
        attempts.forgive(db, LIMIT, "a")
        assert attempts.take(db, LIMIT, "a", 100.0) == 0.0


def test_old_tries_are_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with store.transaction() as db:
        attempts.take(db, LIMIT, "a", 100.0)
        attempts.take(db, LIMIT, "a", 100.0 + attempts.KEPT_S + 1)
        assert db.execute("select count(*) from attempt").fetchone() == (1,)
