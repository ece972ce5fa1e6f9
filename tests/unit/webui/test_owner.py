from pathlib import Path

from tests.support.webui import PASSWORD, make_page
from webui.owner import change_password, is_owner


def test_nobody_owns_an_unclaimed_box(tmp_path: Path) -> None:
    assert not is_owner(make_page(tmp_path).store, "")


def test_the_owner_may_have_another_password(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    assert is_owner(page.store, PASSWORD)
    with page.store.transaction() as db:
        change_password(db, "another password")
    assert not is_owner(page.store, PASSWORD)
    assert is_owner(page.store, "another password")
