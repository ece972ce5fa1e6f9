"""Manual pages: what is written by hand, with the rest filled in."""

import pytest

from image.package.commands import Argument, Command, Option
from image.package.manual import UnknownPlaceError, render_page
from image.package.settings import Key

LID = Command(
    ("box", "lid"),
    "open the lid",
    "Open it.",
    "",
    (Option(("-f", "--force"), "N", "as hard as N"),),
    (Argument("WHICH", "the lid"), Argument("more", "", may_lack=True, may_repeat=True)),
)
BOX = Command(("box",), "a box", "A box.", "", (), (), (LID,), takes_command=True)


def page(text: str, command: Command = BOX) -> str:
    return render_page(
        "box.1",
        text,
        command,
        "1.2",
        0,
        ((3, "not-there", "Gone."),),
        (Key("port", "number", "5", "A port."),),
    )


def test_what_is_written_by_hand_stays() -> None:
    assert page(".SH NOTES\nMine.") == ".SH NOTES\nMine.\n"


def test_the_header_names_the_page_its_date_and_version() -> None:
    text = page("@HEADER@")
    assert text.startswith('.TH BOX 1 1970-01-01 "Latchkey 1.2" "Latchkey"\n')
    assert "box \\- a box" in text


def test_a_command_is_shown_with_its_words_and_flags() -> None:
    text = page("@COMMANDS@")
    assert '.SS "lid"' in text
    assert "\\fBbox lid\\fR [\\fIoption\\fR ...] \\fIWHICH\\fR [\\fImore\\fR ...]" in text
    assert "\\fB\\-f\\fR \\fIN\\fR, \\fB\\-\\-force\\fR \\fIN\\fR\nAs hard as N." in text


def test_statuses_and_settings_are_lists() -> None:
    assert "\\fB3\\fR not\\-there\nGone." in page("@EXIT STATUS@")
    assert "\\fBport\\fR \\- \\fInumber\\fR (default \\fB5\\fR)\nA port." in page("@SETTINGS@")


def test_a_place_that_nobody_fills_is_an_error() -> None:
    with pytest.raises(UnknownPlaceError):
        page("@NONSENSE@")
