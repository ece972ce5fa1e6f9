import stat
from pathlib import Path

import pytest

from tests.support.webui import PASSWORD, make_page
from webui import claim
from webui.claim import Claim, Verdict, door, judge, make_code, normalise, try_claim
from webui.owner import is_owner
from webui.store import Store

CODE = "7K3PM-Q2XYZ"
OPEN = Claim(owned=False, code_hash=claim.hash_code(normalise(CODE)), opened=100.0)


@pytest.mark.parametrize(
    ("state", "code", "now", "verdict"),
    [
        (OPEN, CODE, 100.0, Verdict.RIGHT),
        (OPEN, "7k3pm q2xyz", 100.0, Verdict.RIGHT),
        (OPEN, "7K3PM-Q2XY2", 100.0, Verdict.WRONG),
        (OPEN, "", 100.0, Verdict.WRONG),
        (OPEN, CODE, 3699.9, Verdict.RIGHT),
        (OPEN, CODE, 3700.0, Verdict.EXPIRED),
        (OPEN, CODE, 99.0, Verdict.EXPIRED),
        (
            Claim(owned=False, code_hash=OPEN.code_hash, opened=100.0, tries=29),
            CODE,
            101.0,
            Verdict.RIGHT,
        ),
        (
            Claim(owned=False, code_hash=OPEN.code_hash, opened=100.0, tries=30),
            CODE,
            101.0,
            Verdict.EXHAUSTED,
        ),
        (Claim(owned=True), CODE, 101.0, Verdict.OWNED),
        (Claim(owned=True, code_hash=OPEN.code_hash, opened=100.0), CODE, 101.0, Verdict.OWNED),
        (Claim(owned=False), "", 0.0, Verdict.EXPIRED),
    ],
)
def test_a_code_is_judged(state: Claim, code: str, now: float, verdict: Verdict) -> None:
    assert judge(state, code, now) is verdict


def test_what_people_mistake_is_the_same_code() -> None:
    assert normalise(" oil-01 ") == "01101"
    assert normalise("\uff41\uff42") == ""


def test_a_code_is_made_of_fifty_random_bits() -> None:
    assert make_code(bytes(8)) == "00000-00000"
    assert make_code(b"\xff" * 8) == "ZZZZZ-ZZZZZ"
    assert make_code((1).to_bytes(8, "big")) == "10000-00000"


def test_the_code_lies_where_only_root_and_the_page_find_it(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    path = page.settings.runtime_dir / claim.CODE_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == f"{page.code}\n"
    assert (page.settings.runtime_dir / claim.UNTIL_FILE).read_text() == "4600\n"


def test_claiming_sets_the_password_and_shuts_the_door(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    assert attempt(page.store, tmp_path, page.code) is Verdict.RIGHT
    assert is_owner(page.store, PASSWORD)
    assert list(page.settings.runtime_dir.iterdir()) == []
    assert attempt(page.store, tmp_path, "00000-00000") is Verdict.OWNED


def test_thirty_wrong_codes_shut_the_door_until_the_next_start(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    for number in range(claim.MAX_TRIES):
        now = 1000.0 + 20 * number
        assert attempt(page.store, tmp_path, "0000000000", now) is Verdict.WRONG
    assert attempt(page.store, tmp_path, page.code, 1700.0) is Verdict.EXHAUSTED
    assert (page.settings.runtime_dir / claim.UNTIL_FILE).read_text() == "0\n"
    code = claim.open_door(
        page.store, page.settings.runtime_dir, page.settings.state_dir, now=1800.0
    )
    assert code == page.code
    assert attempt(page.store, tmp_path, page.code, 1900.0) is Verdict.RIGHT


def test_the_sixth_try_of_a_minute_has_to_wait_and_does_not_count(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    for number in range(5):
        source = f"192.168.1.{number}"
        verdict, _ = try_claim(
            page.store, page.settings.runtime_dir, "x", PASSWORD, source=source, now=1000.0
        )
        assert verdict is Verdict.WRONG
    verdict, wait = try_claim(
        page.store, page.settings.runtime_dir, page.code, PASSWORD, source="192.168.1.9", now=1010.0
    )
    assert (verdict, wait) == (Verdict.TOO_FAST, 50.0)
    assert claim.read_claim(page.store).tries == 5


def test_a_new_start_makes_a_new_code(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    before = page.code
    claim.open_door(page.store, page.settings.runtime_dir, page.settings.state_dir, now=1.0)
    assert page.code != before


def test_a_box_with_an_owner_starts_without_a_code(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    page.claimed()
    directories = page.settings.runtime_dir, page.settings.state_dir
    assert claim.open_door(page.store, *directories, now=1.0) is None
    assert list(page.settings.runtime_dir.iterdir()) == []


def test_a_reset_forgets_the_password_and_opens_the_door(tmp_path: Path) -> None:
    page = make_page(tmp_path)
    browser = page.claimed()
    (page.settings.state_dir / claim.RESET_FILE).touch()
    claim.open_door(page.store, page.settings.runtime_dir, page.settings.state_dir, now=1000.0)
    assert not is_owner(page.store, PASSWORD)
    assert not (page.settings.state_dir / claim.RESET_FILE).exists()
    assert browser.get("/").location == "/claim"
    assert page.claimed().get("/").location == "/mesh"


def test_nobody_waits_at_a_closed_door() -> None:
    assert door(OPEN, 200.0) is None
    assert OPEN.seconds_left(200.0) == 3500.0
    assert Claim(owned=True).seconds_left(0.0) == 0.0


def attempt(store: Store, directory: Path, code: str, now: float = 1000.0) -> Verdict:
    verdict, _ = try_claim(store, directory / "run", code, PASSWORD, source="192.168.1.7", now=now)
    return verdict
