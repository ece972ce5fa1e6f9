import stat
from contextlib import suppress
from pathlib import Path

import pytest

from webui.errors import StoreError
from webui.store import FILE_NAME, Store, boot_id, boot_seconds


def test_what_fails_in_a_transaction_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with suppress(ZeroDivisionError), store.transaction() as db:
        db.execute("insert into decided values ('x')")
        raise ZeroDivisionError
    with store.reading() as db:
        assert db.execute("select count(*) from decided").fetchone() == (0,)


def test_sessions_and_attempts_end_with_the_boot_and_the_password_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("a")
    with store.transaction() as db:
        db.execute("insert into owner values (1, 'hash')")
        db.execute("insert into session values ('token', 1, 1)")
        db.execute("insert into attempt values ('login', 'x', 1)")
    store.prepare("a")
    with store.reading() as db:
        assert db.execute("select count(*) from session").fetchone() == (1,)
    store.prepare("b")
    with store.reading() as db:
        assert db.execute("select count(*) from session").fetchone() == (0,)
        assert db.execute("select count(*) from attempt").fetchone() == (0,)
        assert db.execute("select password_hash from owner").fetchone() == ("hash",)


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    Store(tmp_path).prepare("a")
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreError, match="cannot use its file"):
        Store(tmp_path).prepare("a")


def test_a_directory_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot use its file"):
        Store(tmp_path / "absent").prepare("a")


def test_the_machine_knows_its_boot() -> None:
    assert len(boot_id()) == 36
    assert boot_seconds() > 0
